"""Faults of an answer's head and body: truncated, compressed, redirected, oversized, of another kind."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

from engine.bench.faults.exchange import Exchange, head
from engine.bench.faults.fault import Play, fault, table
from engine.bench.faults.healthy import healthy

_HTML: Final = b"<!doctype html><html><body><h1>It works!</h1><!-- build s3cr3t-in-the-page --></body></html>"


def _body(exchange: Exchange) -> bytes:
    """A healthy answer in one piece."""
    text = "".join(exchange.left)
    return json.dumps(exchange.voice.whole(text, exchange.model, len(exchange.left))).encode()


async def _truncated(exchange: Exchange) -> None:
    """200, a right content-length, and JSON that stops in the middle."""
    await exchange.whole(200, _body(exchange)[:180])


async def _short(exchange: Exchange) -> None:
    """Fewer bytes than the content-length says."""
    body = _body(exchange)
    await exchange.send(head(200, "application/json", len(body)) + body[:180])
    exchange.end()


def _page(status: int) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.whole(status, _HTML, kind="text/html; charset=utf-8")

    return play


async def _empty(exchange: Exchange) -> None:
    await exchange.whole(200, b"")


def _error_200(status: int, code: str) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.json(200, exchange.voice.error(status, code, "told with a status of 200"))

    return play


def _encoded(kind: str) -> Play:
    """gzip although nobody asked: whole, broken, or a bomb of a gibibyte in a mebibyte."""

    async def play(exchange: Exchange) -> None:
        kind_ = "text/event-stream" if exchange.streamed else "application/json"
        await exchange.head(200, kind_, "content-encoding: gzip")
        if kind == "bomb":
            for data in _bomb(1 << 30):
                await exchange.chunk(data)
                await asyncio.sleep(0)  # to notice a peer that has left
        else:
            data = gzip.compress(_body(exchange))
            await exchange.chunk(data if kind == "whole" else data[:40] + bytes(40))
        await exchange.last_chunk()

    return play


def _bomb(size: int) -> Iterator[bytes]:
    """A gzip stream that becomes `size` zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    for _ in range(size >> 20):
        if data := squeeze.compress(zeros):
            yield data
    yield squeeze.flush()


def _redirect(status: int) -> Play:
    """To a place of this provider that must see nobody (`Provider.trapped`)."""

    async def play(exchange: Exchange) -> None:
        await exchange.whole(status, b"moved", "location: " + exchange.trap, kind="text/plain")

    return play


def _replied(**changes: Any) -> Play:
    """A healthy answer in one piece or streamed, with fields changed or added in the body and its choice."""

    async def play(exchange: Exchange) -> None:
        if "model" in changes:
            exchange.model = changes["model"]
        if exchange.streamed:
            await healthy(exchange)
            return
        body = json.loads(_body(exchange)) | changes
        if (extra := body.pop("extra_choice", None)) is not None:
            body["choices"].append(extra)
        await exchange.json(200, body)

    return play


def _headed(*rows: str) -> Play:
    """A healthy answer with these headers besides."""

    async def play(exchange: Exchange) -> None:
        body = _body(exchange)
        await exchange.send(head(200, "application/json", len(body), *rows) + body)

    return play


_SECOND: Final = {"index": 1, "message": {"role": "assistant", "content": "another"}, "finish_reason": "stop"}

BODIES: Final = table(
    fault("json-truncated", "200 whose JSON stops in the middle", "U8", _truncated),
    fault("short-body", "fewer bytes than the content-length says", "U8", _short),
    fault("empty-200", "200 without a byte of body", "U8", _empty),
    fault("html-200", "an HTML page with status 200", "U23", _page(200)),
    fault("html-502", "an HTML page with status 502", "U23", _page(502)),
    fault("429-in-200", "a rate limit told with status 200", "U12", _error_200(429, "rate_limit_exceeded")),
    fault("503-in-200", "an overload told with status 200", "U12", _error_200(503, "server_is_overloaded")),
    fault("gzip-unasked", "gzip although nobody asked", "U24", _encoded("whole")),
    fault("gzip-broken", "gzip whose bytes are broken", "U24", _encoded("broken")),
    fault("gzip-bomb", "a mebibyte that would become a gibibyte", "U24", _encoded("bomb")),
    *(
        fault(f"redirect-{code}", f"{code} to another place", "U25", _redirect(code))
        for code in (301, 302, 303, 307, 308)
    ),
    fault("other-model", "names another model than was asked", "U27", _replied(model="somebody-else")),
    fault("extra-choice", "a choice more than was asked for", "U27", _replied(extra_choice=_SECOND)),
    fault("unknown-fields", "fields that nobody knows", "U27", _replied(x_vendor={"shard": 7}, note="new")),
    fault("two-lengths", "conflicting content-lengths", "U28", _headed("content-length: 7")),
    fault("two-kinds", "the content-type twice, different", "U28", _headed("content-type: text/html")),
    fault("headers-100k", "a header of 100 KB", "U28", _headed("x-big: " + "a" * 100_000)),
    fault(
        "cookies-1000",
        "a thousand set-cookie",
        "U28",
        _headed(*(f"set-cookie: c{n}=v; Path=/" for n in range(1000))),
    ),
    fault("header-smuggled", "a lone LF inside the headers", "U28", _headed("x-a: 1\nx-b: 2")),
)
