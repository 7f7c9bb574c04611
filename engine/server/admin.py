"""`/admin/*` and `/metrics`: what runs, since when, what was rejected; reload now.

With an admin key every admin path asks for it. Without one they are served on loopback addresses only, and
there a request whose Host is not a name of this machine is refused: it comes from a web page by DNS
rebinding.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TypeVar

from engine.control import slices
from engine.control.standings import MOST, USUAL, Wanted
from engine.errors import RequestError
from engine.server.body import ClientGone, read_body
from engine.server.exchange import Exchange
from engine.server.head import is_loopback_host
from engine.server.replies import JSON

T = TypeVar("T")

#: /admin/reload takes no body; this much is read of one all the same.
_BODY = 64 * 1024


def check_allowed(exchange: Exchange, *, rebinding: bool) -> None:
    """Raises RequestError (401 or 403) where this client may not see /admin."""
    key = exchange.service.admin_key
    if key is not None:
        if not key.accepts(exchange.head.get(b"authorization")):
            raise RequestError(
                "this path asks for the admin key: authorization: Bearer KEY",
                status=401,
                code="invalid_admin_key",
            )
    elif rebinding and not is_loopback_host(exchange.head.get(b"host")):
        raise RequestError("without an admin key, /admin is for localhost", status=403, code="admin_host")


async def status(exchange: Exchange) -> None:
    await exchange.json(200, await _served(exchange.service.status)())


async def deployments(exchange: Exchange) -> None:
    """Of each deployment of the plan: what is open there, how quick it is, what is known of its health."""
    told = await _served(exchange.service.status)()
    await exchange.json(200, {"deployments": told.get("deployments", {})})


async def budgets(exchange: Exchange) -> None:
    """How budgets and limits stand, each with the partitions that are used most.

    `?budget=NAME` or `?limit=NAME`: only that one; `&partition=VALUE`: only that one of it; `&most=N`: so
    many of each.
    """
    wanted = Wanted(
        budget=exchange.query("budget"),
        limit=exchange.query("limit"),
        partition=exchange.query("partition"),
        most=_most(exchange.query("most")),
    )
    document = await _served(exchange.service.budgets)(wanted)
    for kind, name in (("budget", wanted.budget), ("limit", wanted.limit)):
        if name is not None and name not in document[f"{kind}s"]:
            near = get_close_matches(name, getattr(exchange.snapshot.plan.money(), f"{kind}s"), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RequestError(f"there is no {kind} of that name{hint}", status=404, code="unknown_name")
    await exchange.json(200, document)


def _most(text: str | None) -> int:
    if text is None:
        return USUAL
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 0 < int(text) <= MOST):
        raise RequestError(f"most is a number from 1 to {MOST}", param="most")
    return int(text)


async def plan(exchange: Exchange) -> None:
    """The canonical plan, as `engine plan --format json` prints it."""
    pieces: list[bytes] = []
    await slices.run(_taken(exchange.snapshot.plan.pieces(), pieces))
    await exchange.bytes(200, [JSON], b"".join(pieces))


def _taken(pieces: Iterator[bytes], into: list[bytes]) -> Iterator[None]:
    for piece in pieces:
        into.append(piece)
        yield


async def reload(exchange: Exchange) -> None:
    """Compile the workspace now; 200 where it runs (also if nothing changed), 422 where it was rejected."""
    try:
        await read_body(exchange.receive, exchange.head.get(b"content-length"), _BODY)
    except ClientGone:
        return
    code, body = await _served(exchange.service.reload)()
    await exchange.json(code, body)


async def metrics(exchange: Exchange) -> None:
    service = exchange.service
    await service.before_scrape()
    body = service.metrics.exposition() if service.exposition is None else await service.exposition()
    await exchange.bytes(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], body)


def _served(part: T | None) -> T:
    if part is None:
        raise RequestError("this process does not serve that", status=404, code="unknown_path")
    return part
