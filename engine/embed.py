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
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from engine.errors import EngineError, PlanError
from engine.plan.money import BudgetStep
from engine.plan.plan import Plan
from engine.replies import ChatReply, ChatStream, Counted, Embedded, Reranked
from engine.runtime.clock import Clock, SystemClock
from engine.runtime.execute import Answer, Executor, Inbound
from engine.runtime.reading import read_chat, read_embedding, read_ranking
from engine.runtime.sinks import Sink
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import ANONYMOUS, Key
from engine.state.health import Health
from engine.state.ledger import Ledger, Standing
from engine.state.memory import MemoryState
from engine.state.protocol import State
from engine.upstream.protocol import Transport
from engine.wire.canonical import Reply, Request
from engine.wire.operations import AnyRequest, EmbeddingInput, EmbeddingReply, RerankReply, TokenCount

if TYPE_CHECKING:
    import httpx

    from engine.control.alerting import Alerting
    from engine.control.recording import Recording
    from engine.control.stores import Stores
    from engine.server.app import App


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
        ledger: Ledger | None = None,
    ) -> None:
        self.workspace = Path(workspace)
        self._env = env
        self._plan = plan
        self._transport = transport
        self._recording: Recording | None = None
        self._own_state: MemoryState | None = None
        if state is None:
            state = self._own_state = MemoryState()
        self.state = state
        self._health = health = Health(Random().random)
        self._alerting: Alerting | None = None
        self.executor = Executor(
            self.state, clock or SystemClock(), Random(), sinks, health, ledger, self._alert
        )
        self._ledger = ledger
        self._stores: Stores | None = None
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
        ledger: Ledger | None = None,
    ) -> Engine:
        """An engine to enter with `async with`, which compiles the workspace and provisions its plan.

        Args:
            workspace: its folder.
            env: the overlay `envs/NAME` to apply.
            transport: sends the calls to vendors, and stays yours; any `httpx.AsyncBaseTransport`, so that
                `httpx.MockTransport` works in tests. Default: the engine's own.
            clock: where time comes from; a `VirtualClock` makes retries and timeouts instant.
            state: what outlives a request; one of your own may be shared between engines of this process, and
                is never shared with other hosts.
            sinks: called with every decision record when its request has ended; must return at once.
            plan: the workspace's plan, where it is compiled already.
            ledger: where budgets and limits are counted, and stays yours. Default: the store that the
                workspace's `state:` names, as for a sidecar; with `plan`, the default one. Where that is a
                Redis, sticky places, cached answers and hints on deployments are shared too.

        Raises:
            PlanError: on entering: the workspace does not compile; `diagnostics` says what, where and why.
            OSError: on entering: a file that the plan needs cannot be used; the message says what to do.
        """
        return cls(workspace, env, transport, clock, state, sinks, plan, ledger)

    async def __aenter__(self) -> Self:
        # Deferred: who only wants a type does not pay for what runs a plan.
        from engine.control.alerting import Alerting
        from engine.control.provision import provision
        from engine.control.recording import Recording
        from engine.control.stores import Stores
        from engine.spec.defaults import STATE

        if self._plan is None:
            plan, store = await asyncio.to_thread(_compile, self.workspace, self._env)
        else:
            plan, store = self._plan, STATE
        recording = self._recording = Recording(self.workspace, serves=False)
        self.executor.sinks += recording.take(await recording.open(plan.manifest.settings))
        transport = _as_transport(self._transport)
        try:
            self._stores = Stores(
                store, self.workspace, self.executor, self._own_state, self._health, lambda: plan
            )
            await self._stores.open(plan, counts=self._ledger is None)
            self._snapshot = await provision(plan, root=self.workspace, transport=transport)
            self._alerting = Alerting(self.workspace)
            self._alerting.begin(self.executor, self._snapshot, transport)
        except BaseException:
            await self._close()
            raise
        return self

    def _alert(self, budget: str, partition: str, step: BudgetStep, standing: Standing) -> None:
        if self._alerting is not None:
            self._alerting(budget, partition, step, standing)

    async def _close(self) -> None:
        if self._alerting is not None:
            await self._alerting.close()
        if self._recording is not None:
            await self._recording.close()
        if self._stores is not None:
            await self._stores.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            await snapshot.drain()
        await self._close()

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

    async def embed(
        self,
        *,
        model: str,
        input: str | Sequence[str | Sequence[int] | EmbeddingInput],
        key: Key = ANONYMOUS,
        **fields: Any,
    ) -> Embedded:
        """Vectors of texts, in their order.

        Args:
            model: a name that a route of the operation `embeddings` matches.
            input: a text, or several; also a text's tokens, or canonical inputs (`{"content": [...]}`).
            key: who asks, where routes read `key.*`.
            fields: of a canonical `EmbeddingRequest`: `dimensions`, `input_type`, `truncate`, ...

        Raises:
            EngineError: nobody answered; `record` says who was asked and why not.
        """
        request = read_embedding(model, input, fields)
        answer = await self._execute(request, key, "embeddings")
        number_type = request.get("number_type", "float32")
        return Embedded(cast(EmbeddingReply, answer.reply), answer.record, number_type)

    async def rerank(
        self,
        *,
        model: str,
        query: str,
        documents: Sequence[str | Mapping[str, Any]],
        key: Key = ANONYMOUS,
        **fields: Any,
    ) -> Reranked:
        """Documents by their relevance to a query.

        Args:
            model: a name that a route of the operation `rerank` matches.
            query: what is searched.
            documents: texts, or maps of named fields.
            key: who asks, where routes read `key.*`.
            fields: of a canonical `RerankRequest`: `top_n`, `return_documents`, ...

        Raises:
            EngineError: nobody answered; `record` says who was asked and why not.
        """
        request = read_ranking(model, query, documents, fields)
        answer = await self._execute(request, key, "rerank")
        return Reranked(cast(RerankReply, answer.reply), answer.record)

    async def count_tokens(
        self, *, model: str, messages: Sequence[Any], key: Key = ANONYMOUS, **fields: Any
    ) -> Counted:
        """The input tokens of a chat; arguments as for `chat`. Nothing is generated, and nothing billed.

        Raises:
            EngineError: nobody answered; `record` says who was asked and why not.
        """
        request = self._request(model, messages, fields, stream=False)
        answer = await self._execute(request, key, "count_tokens")
        return Counted(cast(TokenCount, answer.reply), answer.record)

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
        """The sidecar as an ASGI app over this engine, to mount in an app of your own.

        Where the workspace has client keys in Git, every path asks for one, as the sidecar does; with token
        issuers or certificates and no key in Git, nobody comes in: those need `engine serve`.

        Raises:
            ValueError: `keys_secret` cannot be read.
        """
        # Deferred: only this needs the server.
        from engine.control.keyring import make_keyring
        from engine.server.app import App
        from engine.server.service import Service

        def current() -> Snapshot:
            snapshot = self.snapshot
            if snapshot.keyring is None:
                people = snapshot.plan.people()
                snapshot.keyring = make_keyring(people)
                service.identities.closed = bool(people.issuers or people.certificates)
            return snapshot

        service = Service(current=current, executor=self.executor)
        if self._snapshot is not None:
            current()
        self.executor.sinks.append(service.metrics.record)
        return App(service)

    async def _execute(self, request: AnyRequest, key: Key, operation: str = "chat") -> Answer:
        inbound = Inbound(request, secrets.token_hex(12), operation=operation, key=key)
        return await self.executor.execute(self.snapshot, inbound)

    def _request(
        self, model: str, messages: Sequence[Any], fields: dict[str, Any], *, stream: bool
    ) -> Request:
        body = {**fields, "model": model, "messages": list(messages), "stream": stream}
        return read_chat(self.snapshot, body)


def _compile(workspace: Path, env: str | None) -> tuple[Plan, str]:
    """The plan, and the state store that the workspace names."""
    # Deferred: a plan that is compiled already needs no compiler.
    from engine.compiler.pipeline import compile_folder

    done = compile_folder(workspace, env)
    if done.plan is None:
        raise PlanError(done.diagnostics)
    return done.plan, done.settings.state


def _as_transport(given: Transport | httpx.AsyncBaseTransport | None) -> Transport | None:
    if given is None or not hasattr(given, "handle_async_request"):
        return given
    # Deferred: httpx is for those who bring it.
    from engine.upstream.httpx_transport import HttpxTransport

    return HttpxTransport(cast("httpx.AsyncBaseTransport", given))


__all__ = ["ChatReply", "ChatStream", "Counted", "Embedded", "Engine", "EngineError", "Reranked"]
