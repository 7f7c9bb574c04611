"""Token endpoints of this process: a transport that answers from a table, and remembers what was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson

from engine.plan.types import Credential
from engine.plan.values import Secret
from engine.plan.vendors import Auth
from engine.upstream.auth import Authenticator, authenticator
from engine.upstream.protocol import HttpCall
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.secrets import Secrets

NOW = 1_790_000_000.0


@dataclass
class Answer:
    status: int
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False

    async def read(self, limit: int) -> bytes:
        assert len(self.data) <= limit
        return self.data

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data

    async def close(self) -> None:
        self.closed = True


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, body if isinstance(body, bytes) else orjson.dumps(body))


Reply = Answer | Exception | Callable[[HttpCall], Answer]


class Desks:
    """A transport: URL (without query) -> its answer."""

    def __init__(self, table: Mapping[str, Reply]) -> None:
        self.table = dict(table)
        self.calls: list[HttpCall] = []
        self.given: list[Answer] = []

    async def send(self, call: HttpCall) -> Answer:
        self.calls.append(call)
        found = self.table[f"{call.method} {call.url.partition('?')[0]}"]
        if isinstance(found, Exception):
            raise found
        reply = found if isinstance(found, Answer) else found(call)
        self.given.append(reply)
        return reply

    async def close(self) -> None:
        pass

    def form(self, number: int = -1) -> dict[str, str]:
        call = self.calls[number]
        assert dict(call.headers)["content-type"].startswith("application/x-www-form-urlencoded")
        pairs = parse_qsl(call.body.decode(), strict_parsing=True)
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    def headers(self, number: int = -1) -> dict[str, str]:
        return dict(self.calls[number].headers)


def scheme(
    name: str,
    params: Mapping[str, Any],
    desks: Desks,
    *,
    env: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    clock: Callable[[], float] = lambda: NOW,
) -> Authenticator:
    """An authenticator. defaults: slot -> place, of the provider file. given: those of a credential;
    what is no place (`env:`, `file:`) is a plain text.
    """
    auth = Auth(name, params, secrets=_places(defaults or {}))
    plain = {slot: text for slot, text in (given or {}).items() if not text.startswith(("env:", "file:"))}
    places = _places({slot: text for slot, text in (given or {}).items() if slot not in plain})
    credential = Credential("c", "acme", places, plain)
    return authenticator(
        auth,
        credential,
        Secrets(env or {}),
        TokenCache(desks, clock),
        {"name": "gpt", "region": "eu-central-1"},
    )


def _places(texts: Mapping[str, str]) -> dict[str, tuple[Secret, ...]]:
    return {slot: (Secret(*text.split(":", 1)),) for slot, text in texts.items()}  # type: ignore[arg-type]


async def shown(auth: Authenticator) -> str:
    """What the next call has in its `authorization` header."""
    if not auth.ready():
        await auth.prepare()
    return dict(auth.show().headers)["authorization"]
