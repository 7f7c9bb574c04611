"""Local models that another process keeps: the pool of a data worker, whose models are the supervisor's.

One model process so serves all data workers. The words are those of `protocol`, one level up: `generate` is
answered by batches of canonical `events` and an `over`; `cancel` ends it; `credit` keeps the keeper no
further ahead than `WINDOW` batches, so that a slow reader holds up its own generation and nobody else's.
The other end is `desk.ModelDesk`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from engine.local.answer import error_event
from engine.local.errors import ModelError
from engine.local.pool import Spec
from engine.local.protocol import WINDOW
from engine.local.request import Refused
from engine.local.status import Status
from engine.wire.canonical import Event, Request


class Line(Protocol):
    """How the other process is reached."""

    async def ask(self, op: str, words: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises `LineRefused` where it says no, `LineCut` where nobody is there."""
        ...

    def tell(self, op: str, words: dict[str, Any]) -> None:
        """Lost where nobody is there."""
        ...


class LineRefused(Exception):
    """The other process says no; `words` say why."""

    def __init__(self, words: dict[str, Any]) -> None:
        super().__init__(words)
        self.words = words


class LineCut(Exception):
    """The other process is gone."""


class RemoteModels:
    """The pool of a process whose models another one keeps."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._numbers = itertools.count(1)
        self._answers: dict[int, _Answer] = {}
        self._gone = False

    async def acquire(self, spec: Spec) -> RemoteModel:
        """Loaded by its keeper where it is not yet. Raises `ModelError`."""
        await self._ask("model.acquire", {"spec": spec.as_json()})
        return RemoteModel(self, spec)

    async def release(self, spec: Spec) -> None:
        self._line.tell("model.release", {"spec": spec.as_json()})

    def status(self) -> list[Status]:
        """None of them is this process's; their keeper tells."""
        return []

    async def close(self) -> None:
        """Nothing is kept here."""

    def hear(self, op: str, words: dict[str, Any]) -> None:
        """Takes `model.events` and `model.over`."""
        answer = self._answers.get(words["id"])
        if answer is not None:  # else it was given up while this was on its way
            answer.hear(words.get("events", []), over=op == "model.over")

    def cut(self) -> None:
        """The keeper is gone: every open answer ends with an error, and so does every later one."""
        self._gone = True
        for answer in self._answers.values():
            answer.cut()

    async def count(self, spec: Spec, request: Request) -> int:
        counted = await self._ask("model.count", {"spec": spec.as_json(), "request": request})
        tokens: int = counted["tokens"]
        return tokens

    async def generate(
        self, spec: Spec, request: Request, max_tokens: int, begun: bool
    ) -> AsyncGenerator[list[Event], None]:
        number = next(self._numbers)
        answer = self._answers[number] = _Answer()
        words = {
            "id": number,
            "spec": spec.as_json(),
            "request": request,
            "max_tokens": max_tokens,
            "begun": begun,
        }
        if self._gone:
            answer.cut()
        else:
            self._line.tell("model.generate", words)
        try:
            while batch := await answer.take():
                if taken := answer.earned():
                    self._line.tell("model.credit", {"id": number, "batches": taken})
                yield batch
        finally:
            del self._answers[number]
            if not answer.over:
                self._line.tell("model.cancel", {"id": number})

    async def _ask(self, op: str, words: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._line.ask(op, words)
        except LineCut:
            raise ModelError("start_failed", _GONE, "start the sidecar again") from None
        except LineRefused as refused:
            told = refused.words
            if "failure" in told:
                raise Refused(told["failure"], told["message"]) from None
            raise ModelError(told["code"], told["message"], told["help"]) from None


class RemoteModel:
    """A model that its keeper has started. Implements `pool.Model`."""

    #: Its keeper knows, and answers at once with an error where it cannot.
    answers = True

    def __init__(self, pool: RemoteModels, spec: Spec) -> None:
        self._pool, self._spec = pool, spec

    def generate(
        self, request: Request, *, max_tokens: int, begun: bool = False
    ) -> AsyncGenerator[list[Event], None]:
        return self._pool.generate(self._spec, request, max_tokens, begun)

    async def count(self, request: Request) -> int:
        return await self._pool.count(self._spec, request)


_GONE = "the process that keeps the local models is gone"


class _Answer:
    """The batches of one answer between the line and its reader."""

    def __init__(self) -> None:
        self.over = False
        self._events: list[Event] = []
        self._batches = 0  # since the last credit
        self._content = False
        self._waiter: asyncio.Future[None] | None = None

    def hear(self, events: list[Event], *, over: bool) -> None:
        self._events += events
        self._content = self._content or any(event["type"] != "start" for event in events)
        self._batches += not over
        self.over = self.over or over
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def cut(self) -> None:
        if not self.over:
            self.hear([error_event("cut" if self._content else "server", _GONE)], over=True)

    async def take(self) -> list[Event]:
        """The events since the last call, waited for; empty at the end."""
        while not self._events and not self.over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._events = self._events, []
        return events

    def earned(self) -> int:
        """Batches read since the last credit, once there are enough to be worth a message; else 0."""
        if self.over or self._batches < WINDOW // 2:
            return 0
        batches, self._batches = self._batches, 0
        return batches
