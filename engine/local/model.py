"""One loaded model: its worker process, its open requests, and its life after a death.

`start` brings the worker up; `generate` streams one answer as batches of canonical events; `stop` ends it.
When the worker dies, every open request ends with an `error` event at once and the worker is started again,
after a delay that doubles; requests that come meanwhile are refused at once, so that a route can fall over.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from engine.local.answer import Answer, error_event
from engine.local.errors import ModelError
from engine.local.launch import Folders, launch
from engine.local.process import WorkerProcess
from engine.local.protocol import Cancel, Credit, Skipped
from engine.local.providers import check_names
from engine.local.request import Refused, forced_tool, template_messages, template_tools, to_generate
from engine.local.status import Options, State, Status, resident_bytes
from engine.local.template import ChatShape
from engine.local.tokens import TokenCounter
from engine.wire.canonical import Event, Request

log = logging.getLogger("engine.local")


class LocalModel:
    """A model that answers. Belongs to the event loop it is started in, and is started once."""

    def __init__(
        self,
        name: str,
        folders: Folders,
        execution_providers: Sequence[str] = (),
        options: Options | None = None,
        *,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        """`folders`: one GenAI folder, or one a provider. Raises `ModelError("provider_unknown")`."""
        self.name = name
        self._folders, self._providers = folders, check_names(execution_providers)
        self._options, self._now, self._rng = options or Options(), now, rng or random.Random()
        self._ids = itertools.count(1)
        self._answers: dict[int, Answer] = {}
        self._counts: dict[int, asyncio.Future[int]] = {}
        self._leaving: set[int] = set()  # cancelled, not yet confirmed by the worker
        self._state: State = "new"
        self._stopped = False
        self._why: str | None = None
        self._settled = asyncio.Event()  # not set while starting
        self._process: WorkerProcess | None = None
        self._ready: dict[str, Any] = {}
        self._skipped: tuple[Skipped, ...] = ()
        self._restarts = self._failures = 0
        self._since = self._retry_at = 0.0
        self._restarting: asyncio.Task[None] | None = None
        self._counter: TokenCounter | None = None

    async def start(self) -> None:
        """Loads the model; returns when it can answer. Raises `ModelError`; `status().why` keeps it."""
        try:
            await self._launch()
        except BaseException as error:
            if not self._stopped:
                self._settle(
                    "failed", error.message if isinstance(error, ModelError) else type(error).__name__
                )
            raise

    async def stop(self) -> None:
        """Ends the worker and every open request; may be called in any state, and again."""
        self._stopped = True
        self._settle("stopped", None)
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        self._lose("the model was unloaded")
        if self._process is not None:
            await self._process.stop(self._options.stop_s)
            self._process = None

    async def generate(
        self, request: Request, *, max_tokens: int, begun: bool = False
    ) -> AsyncGenerator[list[Event], None]:
        """Streams one answer: batches of `start`, content, `finish`, `usage`; or an `error` event last.

        `begun`: the last message is the beginning of the answer, and what comes is its rest. `max_tokens`
        counts what is sampled; the answer is shorter where the context ends first. Closing the generator, or
        cancelling its reader, cancels in the worker at once. A failed answer is never raised.
        """
        while self._state == "starting":
            await self._settled.wait()
        answer = self._open(request, max_tokens, begun)
        if not isinstance(answer, Answer):
            yield [answer]
            return
        try:
            while True:
                batch = await answer.take()
                if pieces := answer.earned():
                    self._send(Credit(op="credit", id=answer.id, pieces=pieces))
                yield batch
                if answer.over and not answer.waiting:
                    return
        finally:
            self._close(answer)

    async def count(self, request: Request) -> int:
        """The exact number of prompt tokens. Raises `Refused`, and `ModelError` with no worker.

        Counted in this process where the template is plain (`template.ChatShape`), else by the worker.
        """
        while self._state == "starting":
            await self._settled.wait()
        if self._state != "ready":
            raise ModelError(
                "start_failed", f"model {self.name} is not loaded: {self._why}", "see /admin/status"
            )
        assert self._counter is not None
        shape: ChatShape | None = self._ready["shape"]
        if shape is not None:
            count = await self._counter.count(request, shape)
            if count.exact:
                return count.tokens
        messages, tools = template_messages(request), template_tools(request)
        number = next(self._ids)
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._counts[number] = counted
        try:
            self._send({"op": "count", "id": number, "messages": messages, "tools": tools})
            return await counted
        finally:
            del self._counts[number]

    @property
    def answers(self) -> bool:
        """Whether its worker is up."""
        return self._state == "ready"

    def status(self) -> Status:
        """How the model is now."""
        ready = self._ready if self._state == "ready" else {}
        waits = self._state == "backoff"
        return Status(
            name=self.name,
            state=self._state,
            why=self._why,
            pid=ready.get("pid"),
            provider=ready.get("provider"),
            skipped=self._skipped,
            restarts=self._restarts,
            loaded_s=ready.get("loaded_s"),
            rss=resident_bytes(ready["pid"]) if ready else None,
            open=len(self._answers) + len(self._leaving),
            context=ready.get("context"),
            telemetry=ready.get("telemetry"),
            retry_in_s=max(0.0, self._retry_at - time.monotonic()) if waits else None,
        )

    def _open(self, request: Request, max_tokens: int, begun: bool) -> Answer | Event:
        """Sends the request to the worker; an `error` event where that makes no sense."""
        if self._state != "ready":
            return error_event("connect", f"model {self.name} is not loaded: {self._why or self._state}")
        limit = self._options.live + self._options.waiting
        if len(self._answers) >= limit:
            return error_event("overloaded", f"model {self.name} has {limit} requests already")
        number = next(self._ids)
        try:
            message = to_generate(request, max_tokens, number, begun=begun)
        except Refused as refused:
            return error_event(refused.failure, refused.message)
        created, answer_id = int(self._now()), secrets.token_hex(12)
        answer = Answer(number, answer_id, self.name, created, forced_tool=forced_tool(request))
        self._answers[number] = answer
        self._send(message)
        return answer

    def _close(self, answer: Answer) -> None:
        del self._answers[answer.id]
        if not answer.over and self._state == "ready":
            self._leaving.add(answer.id)
            self._send(Cancel(op="cancel", id=answer.id))

    def _send(self, command: Any) -> None:
        if self._process is not None:
            self._process.send(command)

    async def _launch(self) -> None:
        self._state, self._why = "starting", None
        self._settled.clear()
        options = self._options
        launched = await launch(
            self._folders,
            self._providers,
            threads=options.threads,
            live=options.live,
            trial_s=options.trial_s,
        )
        process = launched.process
        process.on_report, process.on_exit = self._hear, self._died
        if self._stopped or process.ended:  # while we waited, or between its `ready` and now
            process.kill()
            await process.gone()
            raise ModelError(
                "start_failed", f"model {self.name} was stopped while it loaded", "start it again"
            )
        self._process, self._ready, self._skipped = process, dict(launched.ready), launched.skipped
        if self._counter is None:
            self._counter = TokenCounter(self._folder(launched.ready["provider"]))
        self._since = time.monotonic()
        self._settle("ready", None)

    def _folder(self, provider: str) -> Path:
        return self._folders if isinstance(self._folders, Path) else self._folders[provider]

    def _settle(self, state: State, why: str | None) -> None:
        self._state, self._why = state, why
        self._settled.set()

    def _hear(self, report: dict[str, Any]) -> None:
        number, kind = report["id"], report["ev"]
        if (answer := self._answers.get(number)) is not None:
            answer.hear(report)
        elif (count := self._counts.get(number)) is not None and not count.done():
            if kind == "counted":
                count.set_result(report["tokens"])
            else:
                count.set_exception(Refused(report["failure"], report["message"]))
        if kind in ("end", "fault"):
            self._leaving.discard(number)

    def _died(self) -> None:
        """The worker is gone though nobody asked it to be."""
        process, self._process = self._process, None
        if self._state == "stopped" or process is None:
            return
        why = process.epitaph()
        log.error("local model %s: %s; %s open requests are lost", self.name, why, len(self._answers))
        self._settle("backoff", why)  # now: a request in this very turn of the loop must not wait for nobody
        self._lose(why)
        if time.monotonic() - self._since > self._options.steady_s:
            self._failures = 0
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    def _lose(self, why: str) -> None:
        for answer in self._answers.values():
            answer.lose(why)
        for count in self._counts.values():
            if not count.done():
                count.set_exception(ModelError("start_failed", why, "try again"))
        self._leaving.clear()

    async def _restart(self) -> None:
        """Tries until the worker is up again: each delay twice the last, less up to half by chance."""
        while True:
            options = self._options
            delay = min(options.backoff_first_s * 2.0 ** min(self._failures, 30), options.backoff_most_s)
            delay *= self._rng.uniform(0.5, 1.0)
            self._failures += 1
            self._retry_at = time.monotonic() + delay
            await asyncio.sleep(delay)
            try:
                await self._launch()
            except (ModelError, OSError) as error:
                log.error("local model %s does not start: %s", self.name, error)
                self._settle("backoff", str(error))
            else:
                self._restarts += 1
                return
