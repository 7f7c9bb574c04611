"""The seams between the data plane and the outside: a transport moves bytes, an upstream makes an attempt.

`Transport` is the small protocol that HTTP clients stand behind (aiohttp by default, any
`httpx.AsyncBaseTransport` beside it). `Upstream` is one level up: it turns an attempt into canonical
events, whatever is behind it (a vendor over HTTP, a local model's worker, a test's script).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.plan.types import Credential, Deployment
from engine.wire.canonical import Error, Event, Request
from engine.wire.operations import AnyReply


@dataclass(slots=True)
class HttpCall:
    """One HTTP request, ready to send. Redirects are never followed.

    Not frozen: that would cost three times as much, and every call makes one.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connect_ms: int | None = None


class HttpReply(Protocol):
    """An answer whose headers have come. Must be closed; closing before the end aborts the call."""

    status: int
    headers: Mapping[str, str]  # names in lower case

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TransportError("cut") at an early end, ("server") beyond `limit` bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; stops reading the socket while the consumer is busy."""
        ...

    async def close(self) -> None: ...


class TransportError(Exception):
    """A call that failed below HTTP. lasting: another try would fail the same way. unsent: nothing of it went
    out, as where there was no connection.
    """

    def __init__(
        self,
        failure: Literal["connect", "timeout", "cut", "server"],
        message: str,
        *,
        lasting: bool = False,
        unsent: bool = False,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.lasting = lasting
        self.unsent = unsent or failure == "connect"


class Transport(Protocol):
    """Sends HTTP calls. Cancelling `send` or closing the reply closes the upstream socket at once."""

    async def send(self, call: HttpCall) -> HttpReply:
        """Raises TransportError."""
        ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Ask:
    """What one attempt is asked to do. Shared by all attempts of a request but for `deployment` and `params`.

    request: canonical. Of an operation beside chat: read as `operation` says; what it has in common with a
        chat has the same name, and what it has not is absent.
    body: the client's own body, when its dialect may be passed through; None otherwise.
    dialect: the ingress dialect (None: embedded use).
    stream: whether the answer is to flow, which it may though the client wants it whole.
    skim: where the answer's bytes pass through, they are all that is wanted of its content: events in them
        that tell nothing else may stay unread.
    lossless: the call is not to be made where the wire loses a field of the request.
    begun: the last message is the beginning of the answer, and it is to be gone on with. The client's `body`
        has no such message: where it passes through, it gets those of `request` in its own form.
    credential: the one to show, chosen among the deployment's for this client key; None: it needs none.
    """

    request: Request
    deployment: Deployment
    params: Mapping[str, Any]
    max_tokens: int | None
    dialect: str | None = None
    operation: str = "chat"
    body: dict[str, Any] | None = None
    stream: bool = False
    attempt: int = 1
    request_id: str = ""
    connect_ms: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    credential: Credential | None = None
    skim: bool = False
    lossless: bool = False
    begun: bool = False


@dataclass(slots=True)
class Chunk:
    """A piece of a flowing answer: the canonical events in it, and its bytes where they may pass through.
    Beside an `error` event they are those of what came before it.

    closing: beside the `usage` event, where the client wants one: the bytes that end the stream, after `raw`,
        once that event is complete (`usage` settled, `served` known).
    unread: about how many characters of content all that came so far held beside its events. Asked only where
        the vendor says no usage.
    moved: an event came with it, whether anybody reads it or not; the time between two of them is limited.
    told: what the client got until here as bytes that passed through, in events; on the first chunk that has
        to be written after such bytes, for a writer that must go on from them.
    """

    events: list[Event]
    raw: bytes | None = None
    closing: Callable[[Event], bytes] | None = None
    unread: Callable[[], int] | None = None
    told: list[Event] | None = None
    moved: bool = True


class Flow(Protocol):
    """An answer that flows. Iterating ends after the `usage` event, or with an `error` event, never silently.

    `raw_ok`: `Chunk.raw` is in the ingress dialect, byte for byte what the client may get.
    `dropped`: canonical fields that the wire could not carry. `wire` is what was sent, for `explain`.
    """

    raw_ok: bool
    dropped: tuple[str, ...]

    def __aiter__(self) -> AsyncIterator[Chunk]: ...

    async def close(self) -> None:
        """Stop at once: the upstream's socket is closed, or its worker told to cancel."""
        ...


@dataclass(slots=True)
class Whole:
    """An answer that came in one piece, or a failure (`error` set, `reply` None)."""

    reply: AnyReply | None
    error: Error | None = None
    raw: bytes | None = None  # the body in the ingress dialect, where it may pass through
    dropped: tuple[str, ...] = ()


class Upstream(Protocol):
    """Makes attempts at the deployments of one provider."""

    async def whole(self, ask: Ask) -> Whole:
        """One answer in one piece. Failures come as `Whole.error`; only cancellation raises."""
        ...

    async def flow(self, ask: Ask) -> Flow | Whole:
        """Begin a stream. A failure before the first event comes as `Whole` with `error`."""
        ...

    async def close(self) -> None: ...
