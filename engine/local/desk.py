"""Local models served to other processes: the supervisor's end of `remote`.

A `ModelDesk` stands between one data worker and the pool that all share. What a worker holds is counted, so
that a worker that dies gives back what it had, and its open answers are cancelled down to the model.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from engine.local.answer import error_event
from engine.local.errors import ModelError
from engine.local.pool import Model, Pool, Spec
from engine.local.protocol import WINDOW
from engine.local.remote import LineRefused
from engine.local.request import Refused
from engine.wire.canonical import Event

Tell = Callable[[str, dict[str, Any]], None]


class ModelDesk:
    """One data worker's way to the models. `tell`: says something to that worker."""

    def __init__(self, pool: Pool, tell: Tell) -> None:
        self._pool, self._tell = pool, tell
        self._models: dict[Spec, Model] = {}
        self._held: Counter[Spec] = Counter()
        self._open: dict[int, _Open] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    async def ask(self, op: str, words: dict[str, Any]) -> dict[str, Any]:
        """Does `model.acquire` and `model.count`. Raises `LineRefused`."""
        spec = Spec.from_json(words["spec"])
        try:
            if op == "model.acquire":
                self._models[spec] = await self._pool.acquire(spec)
                self._held[spec] += 1
                return {}
            return {"tokens": await self._model(spec).count(words["request"])}
        except ModelError as error:
            raise LineRefused({"code": error.code, "message": error.message, "help": error.help}) from None
        except Refused as refused:
            raise LineRefused({"failure": refused.failure, "message": refused.message}) from None

    def hear(self, op: str, words: dict[str, Any]) -> None:
        """Takes `model.generate`, `model.credit`, `model.cancel` and `model.release`."""
        if op == "model.release":
            self._release(Spec.from_json(words["spec"]))
        elif op == "model.generate":
            opened = self._open[words["id"]] = _Open(words["id"])
            opened.task = asyncio.get_running_loop().create_task(self._generate(opened, words))
        elif (found := self._open.get(words["id"])) is not None:  # else it ended meanwhile
            if op == "model.credit":
                found.credit(words["batches"])
            elif found.task is not None:
                found.task.cancel()

    def lose(self) -> None:
        """The worker is gone: its open answers are cancelled; its models stay until `close`."""
        for opened in self._open.values():
            if opened.task is not None:
                opened.task.cancel()

    async def close(self) -> None:
        """Give back every model that the worker held."""
        self.lose()
        for spec in list(self._held.elements()):
            self._release(spec)
        await asyncio.gather(*self._releasing)

    def open(self) -> int:
        """Answers under way."""
        return len(self._open)

    def _model(self, spec: Spec) -> Model:
        model = self._models.get(spec)
        if model is None:
            raise ModelError("start_failed", f"model {spec.model} is not held by this worker", "reload")
        return model

    def _release(self, spec: Spec) -> None:
        if not self._held[spec]:
            return
        self._held[spec] -= 1
        if not self._held[spec]:
            del self._held[spec], self._models[spec]
        task = asyncio.get_running_loop().create_task(self._pool.release(spec))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _generate(self, opened: _Open, words: dict[str, Any]) -> None:
        last: list[Event] = []
        try:
            model = self._model(Spec.from_json(words["spec"]))
            batches = model.generate(words["request"], max_tokens=words["max_tokens"], begun=words["begun"])
            async with contextlib.aclosing(batches):
                async for batch in batches:
                    self._tell("model.events", {"id": opened.id, "events": batch})
                    await opened.spend()
        except ModelError as error:
            last = [error_event("connect", error.message)]
        except Exception as error:  # a fault of ours: the reader must not take its end for a whole answer
            last = [error_event("server", type(error).__name__)]
            raise
        finally:
            del self._open[opened.id]
            self._tell("model.over", {"id": opened.id, "events": last})


class _Open:
    """One answer under way, and how far ahead of its reader it may be."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.task: asyncio.Task[None] | None = None
        self._credit = WINDOW
        self._more = asyncio.Event()

    def credit(self, batches: int) -> None:
        self._credit += batches
        self._more.set()

    async def spend(self) -> None:
        """One batch went out; waits until the next may."""
        self._credit -= 1
        while self._credit <= 0:
            self._more.clear()
            await self._more.wait()
