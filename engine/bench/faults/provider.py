"""The fault provider: a vendor on loopback that answers each request with the fault that is due.

Which one is due: the path's (`/fault/NAME,NAME/...`), else what the request's model is mapped to or names
itself (a model called `500,ok` fails once), else the provider's own script. A script is played from its first
fault on, one a request, and its last fault stays; `on` steps are counted for each model and path.

`/-/seen` tells what came, `/-/forget` forgets it; `/-/trap` is a place that nobody should be led to.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.bench.faults.catalogue import UnknownFault, script
from engine.bench.faults.exchange import Exchange, Link, Seen
from engine.bench.faults.fault import Fault

_PREFIX: Final = "/fault/"


class Provider:
    """`async with Provider() as provider:` -> `provider.url`, `provider.seen`.

    Args:
        default: the script of a model that is neither mapped nor the name of a script.
        scripts: scripts by the model that a request names.
        quicker: all waits are shortened to this share.
        pace: seconds between two tokens of a stream.
        port: 0 = any free one.
        tls: its own.
        host: the address it listens on.
        told: is given every request once it was answered, or could not be.
    """

    def __init__(
        self,
        default: str = "ok",
        *,
        scripts: Mapping[str, str] | None = None,
        quicker: float = 1.0,
        pace: float = 0.0,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        told: Callable[[Seen], None] = lambda _: None,
    ) -> None:
        self.default = script(default)
        self.scripts = {model: script(text) for model, text in (scripts or {}).items()}
        self.quicker = quicker
        self.pace = pace
        self.seen: list[Seen] = []
        self.links: list[Link] = []
        self.trapped = 0
        self.connections = 0
        self._turns: defaultdict[str, int] = defaultdict(int)
        self._first: dict[str, float] = {}
        self._host, self._port, self._tls = host, port, tls
        self._told = told

    def map(self, model: str, text: str) -> None:
        """From now on requests for this model are answered by that script, from its beginning."""
        self.scripts[model] = script(text)
        self._turns.pop(model, None)
        self._first.pop(model, None)

    async def __aenter__(self) -> Provider:
        loop = asyncio.get_running_loop()
        accept = self.default[0].accept
        # A fault at accept comes before any handshake.
        tls = None if accept is not None else self._tls
        self._server = await loop.create_server(self._accepted, self._host, self._port, ssl=tls, backlog=4096)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'' if self._tls is None else 's'}://{self._host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for link in self.links:
            link.abort()
        await self._server.wait_closed()

    def forget(self) -> None:
        """Nothing was ever asked."""
        self.seen.clear()
        self._turns.clear()
        self._first.clear()
        self.trapped = 0

    def of(self, model: str) -> list[Seen]:
        """The requests for one model, in order."""
        return [seen for seen in self.seen if seen.model == model]

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return sum(not link.closed.is_set() for link in self.links)

    # --- one connection ---------------------------------------------------------------------------------

    def _accepted(self) -> Link:
        self.connections += 1
        return Link(self._serve, self.connections)

    async def _serve(self, link: Link) -> None:
        # From here on: one whose handshake fails never comes so far.
        self.links = [kept for kept in self.links if not kept.closed.is_set()]
        self.links.append(link)
        accept = self.default[0].accept
        if accept is not None:
            await accept(link)
            return
        while not link.transport.is_closing() and (asked := await link.head()) is not None:
            path, headers = asked
            if path.startswith("/-/"):
                await link.body(headers)
                await self._control(link, path)
                continue
            await self._answer(link, path, headers)

    async def _answer(self, link: Link, path: str, headers: dict[str, str]) -> None:
        link.requests += 1
        at = asyncio.get_running_loop().time()
        seen = link.seen = Seen(len(self.seen) + 1, link.number, at, path, headers=headers)
        self.seen.append(seen)
        by_path = script(path.removeprefix(_PREFIX).partition("/")[0]) if path.startswith(_PREFIX) else None
        known = by_path or (self.default if self.default[0].early else None)
        if known is None or not known[0].early:
            seen.body = _json(await link.body(headers))
            seen.model = str(seen.body.get("model") or "")
        key, faults = self._due(seen, by_path)
        turn = self._turns[key]
        self._turns[key] += 1
        due = faults[min(turn, len(faults) - 1)]
        seen.fault = due.name
        assert due.play is not None, f"{due.name} is played as a connection comes: give it as the default"
        first = self._first.setdefault(key, at)
        exchange = Exchange(
            link, seen, turn=turn, since_first=at - first, quicker=self.quicker, pace=self.pace
        )
        exchange.trap = f"{self.url}/-/trap"
        try:
            await due.play(exchange)
            seen.answered = True
        finally:
            self._told(seen)

    def _due(self, seen: Seen, by_path: tuple[Fault, ...] | None) -> tuple[str, tuple[Fault, ...]]:
        """The script for a request, and what its turns are counted by."""
        if by_path is not None:
            return seen.path, by_path
        mapped = self.scripts.get(seen.model)
        if mapped is not None:
            return seen.model, mapped
        try:
            return seen.model, script(seen.model)
        except UnknownFault:
            return seen.model, self.default

    async def _control(self, link: Link, path: str) -> None:
        told: dict[str, Any] = {}
        if path == "/-/seen":
            told = {
                "seen": [seen.as_json() for seen in self.seen],
                "trapped": self.trapped,
                "open": self.open,
            }
        elif path == "/-/forget":
            self.forget()
        elif path == "/-/trap":
            self.trapped += 1
        data = json.dumps(told).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        await link.send(head.encode() + data)


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def serve(
    default: str, *, port: int, quicker: float, pace: float, told: Callable[[Seen], None]
) -> None:
    """Serve until cancelled; prints `{"url": ..., "pid": ...}` once bound."""
    async with Provider(default, port=port, quicker=quicker, pace=pace, told=told) as provider:
        print(json.dumps({"url": provider.url, "pid": os.getpid()}), flush=True)
        await asyncio.get_running_loop().create_future()
