"""The engine inside your own program: the same plan, the same executor, no server.

    async with Engine.open("workspace") as engine:
        reply = await engine.chat(model="assistant", messages=[{"role": "user", "content": "hi"}])
        print(reply.text, reply.usage, reply.cost)

`open` compiles and provisions; leaving the block waits for what still runs and closes all that was opened.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import EngineError, PlanError, UpstreamError
from engine.plan.plan import Plan
from engine.runtime.clock import Clock, SystemClock
from engine.runtime.execute import Answer, Executor, Inbound
from engine.runtime.reading import read_chat
from engine.runtime.record import DecisionRecord
from engine.runtime.sinks import JsonLines, Sink
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import ANONYMOUS, Key
from engine.state.memory import MemoryState
from engine.state.protocol import State
from engine.upstream.protocol import Flow, Transport
from engine.wire.canonical import Event, Message, Part, Reply, Request, Usage

if TYPE_CHECKING:
    import httpx

    from engine.server.app import App

_NANOS_PER_DOLLAR = 1e9


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A whole answer. `reply` is canonical; `record` says who was asked and why."""

    reply: Reply
    record: DecisionRecord

    @property
    def message(self) -> Message:
        """The first choice's message, in ordered parts."""
        return self.reply["choices"][0]["message"]

    @property
    def text(self) -> str:
        """What the message says, without reasoning."""
        return "".join(part.get("text", "") for part in self.message["content"] if part["type"] == "text")

    @property
    def tool_calls(self) -> list[Part]:
        """The calls that the model asks for: `id`, `name`, and `arguments` as JSON text."""
        return [part for part in self.message["content"] if part["type"] == "tool_call"]

    @property
    def finish_reason(self) -> str | None:
        """`stop`, `length`, `tool_calls`, `content_filter` or `error`."""
        return self.reply["choices"][0].get("finish_reason")

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.reply.get("model", "")

    @property
    def usage(self) -> Usage:
        """Tokens of the call that answered."""
        return self.reply.get("usage", Usage())

    @property
    def cost(self) -> float:
        """US dollars over all calls of this request."""
        return self.record.cost / _NANOS_PER_DOLLAR


class ChatStream:
    """An answer as it comes: iterate its canonical events. Leaving early (`aclose`) stops the upstream.

    An answer that breaks raises `UpstreamError` after the events that had come. `record` is there from the
    first event on and complete after the last.
    """

    def __init__(self, begin: Callable[[], Awaitable[Answer]]) -> None:
        self._begin = begin
        self._flow: Flow | None = None
        self._events: AsyncIterator[Event] | None = None
        self.record: DecisionRecord | None = None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._events is None:
            answer = await self._begin()
            assert answer.flow is not None
            self.record, self._flow = answer.record, answer.flow
            self._events = _events(answer.flow)
        event = await anext(self._events)
        if event["type"] == "error":
            await self.aclose()
            error = event["error"]
            broken = UpstreamError(error["failure"], error.get("message", "the answer broke off"))
            broken.record = self.record
            raise broken
        return event

    async def aclose(self) -> None:
        """Stop the answer, if it still flows. Harmless after its end."""
        if self._flow is not None:
            await self._flow.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _events(flow: Flow) -> AsyncIterator[Event]:
    async for chunk in flow:
        for event in chunk.events:
            yield event


class Engine:
    """A workspace, compiled and running in this process. Made by `Engine.open`."""

    def __init__(
        self,
        workspace: str | os.PathLike[str],
        env: str | None,
        transport: Transport | httpx.AsyncBaseTransport | None,
        clock: Clock | None,
        state: State | None,
        sinks: Sequence[Sink],
        plan: Plan | None,
    ) -> None:
        self.workspace = Path(workspace)
        self._env = env
        self._plan = plan
        self._transport = transport
        self._log: JsonLines | None = None
        self.state: State = state or MemoryState()
        self.executor = Executor(self.state, clock or SystemClock(), Random(), sinks)
        self._snapshot: Snapshot | None = None

    @classmethod
    def open(
        cls,
        workspace: str | os.PathLike[str] = ".",
        *,
        env: str | None = None,
        transport: Transport | httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        state: State | None = None,
        sinks: Sequence[Sink] = (),
        plan: Plan | None = None,
    ) -> Engine:
        """An engine to enter with `async with`, which compiles the workspace and provisions its plan.

        Args:
            workspace: its folder.
            env: the overlay `envs/NAME` to apply.
            transport: sends the calls to vendors, and stays yours; any `httpx.AsyncBaseTransport`, so that
                `httpx.MockTransport` works in tests. Default: the engine's own.
            clock: where time comes from; a `VirtualClock` makes retries and timeouts instant.
            state: what outlives a request; one of your own may be shared between engines.
            sinks: called with every decision record when its request has ended; must return at once.
            plan: the workspace's plan, where it is compiled already.

        Raises:
            PlanError: on entering: the workspace does not compile; `diagnostics` says what, where and why.
        """
        return cls(workspace, env, transport, clock, state, sinks, plan)

    async def __aenter__(self) -> Self:
        # Deferred: who only wants a type does not pay for what runs a plan.
        from engine.control.provision import provision

        plan = self._plan
        if plan is None:
            plan = await asyncio.to_thread(_compile, self.workspace, self._env)
        log = plan.manifest.settings.decision_log
        if log is not None:
            self._log = JsonLines(self.workspace / log)
            self.executor.sinks.append(self._log)
        self._snapshot = await provision(plan, root=self.workspace, transport=_as_transport(self._transport))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            await snapshot.drain()
        if self._log is not None:
            await asyncio.to_thread(self._log.close)

    @property
    def snapshot(self) -> Snapshot:
        """The plan and what it runs on."""
        if self._snapshot is None:
            raise RuntimeError("the engine is not open: use `async with Engine.open(...) as engine:`")
        return self._snapshot

    @property
    def plan(self) -> Plan:
        """The plan that serves."""
        return self.snapshot.plan

    async def chat(
        self, *, model: str, messages: Sequence[Any], key: Key = ANONYMOUS, **fields: Any
    ) -> ChatReply:
        """One answer, whole.

        Args:
            model: a name that a route matches.
            messages: OpenAI's (`{"role": "user", "content": "hi"}`) or canonical (content in parts).
            key: who asks, where routes read `key.*`.
            fields: `max_tokens`, `temperature`, `tools`, ... in the form of the messages.

        Raises:
            EngineError: nobody answered; `record` says who was asked and why not.
        """
        request = self._request(model, messages, fields, stream=False)
        answer = await self._execute(request, key)
        assert answer.reply is not None
        return ChatReply(cast(Reply, answer.reply), answer.record)

    def stream(
        self, *, model: str, messages: Sequence[Any], key: Key = ANONYMOUS, **fields: Any
    ) -> ChatStream:
        """One answer as it comes; arguments as for `chat`. Errors are raised while iterating."""
        request = self._request(model, messages, fields, stream=True)
        return ChatStream(lambda: self._execute(request, key))

    @classmethod
    def run_sync(
        cls,
        workspace: str | os.PathLike[str] = ".",
        *,
        model: str,
        messages: Sequence[Any],
        env: str | None = None,
        transport: Transport | httpx.AsyncBaseTransport | None = None,
        **fields: Any,
    ) -> ChatReply:
        """Open the workspace, ask once, close: for scripts without an event loop."""

        async def ask() -> ChatReply:
            async with cls.open(workspace, env=env, transport=transport) as engine:
                return await engine.chat(model=model, messages=messages, **fields)

        return asyncio.run(ask())

    def asgi(self) -> App:
        """The sidecar as an ASGI app over this engine, to mount in an app of your own."""
        # Deferred: only this needs the server.
        from engine.server.app import App
        from engine.server.service import Service

        service = Service(current=lambda: self.snapshot, executor=self.executor)
        self.executor.sinks.append(service.metrics.record)
        return App(service)

    async def _execute(self, request: Request, key: Key) -> Answer:
        request_id = secrets.token_hex(12)
        return await self.executor.execute(self.snapshot, Inbound(request, request_id, key=key))

    def _request(
        self, model: str, messages: Sequence[Any], fields: dict[str, Any], *, stream: bool
    ) -> Request:
        body = {**fields, "model": model, "messages": list(messages), "stream": stream}
        return read_chat(self.snapshot, body)


def _compile(workspace: Path, env: str | None) -> Plan:
    # Deferred: a plan that is compiled already needs no compiler.
    from engine.compiler.pipeline import compile_workspace

    plan, diagnostics = compile_workspace(workspace, env)
    if plan is None:
        raise PlanError(diagnostics)
    return plan


def _as_transport(given: Transport | httpx.AsyncBaseTransport | None) -> Transport | None:
    if given is None or not hasattr(given, "handle_async_request"):
        return given
    # Deferred: httpx is for those who bring it.
    from engine.upstream.httpx_transport import HttpxTransport

    return HttpxTransport(cast("httpx.AsyncBaseTransport", given))


__all__ = ["ChatReply", "ChatStream", "Engine", "EngineError"]
