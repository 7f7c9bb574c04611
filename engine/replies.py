"""What an embedded engine answers: the canonical reply, and what people read of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

from engine.errors import UpstreamError
from engine.plan.functions import unpack
from engine.runtime.execute import Answer
from engine.runtime.record import DecisionRecord
from engine.upstream.protocol import Flow
from engine.wire.canonical import Event, Message, Part, Reply, Usage
from engine.wire.operations import EmbeddingReply, RerankReply, RerankResult, TokenCount

_NANOS_PER_DOLLAR = 1e9

R = TypeVar("R", Reply, EmbeddingReply, RerankReply)


@dataclass(frozen=True, slots=True)
class _Answered(Generic[R]):
    """What every answer of a model has. `reply` is canonical; `record` says who was asked and why."""

    reply: R
    record: DecisionRecord

    @property
    def model(self) -> str:
        """The model that answered."""
        return self.reply.get("model", "")

    @property
    def usage(self) -> Usage:
        """Tokens, or what else it is counted in, of the call that answered."""
        return self.reply.get("usage", Usage())

    @property
    def cost(self) -> float:
        """US dollars over all calls of this request."""
        return self.record.cost / _NANOS_PER_DOLLAR


@dataclass(frozen=True, slots=True)
class ChatReply(_Answered[Reply]):
    """A whole answer."""

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


@dataclass(frozen=True, slots=True)
class Embedded(_Answered[EmbeddingReply]):
    """Vectors, one for each input and in their order."""

    number_type: str = "float32"

    @property
    def vectors(self) -> list[list[float]]:
        """The numbers. Of `binary` and `ubinary`, eight dimensions are one number."""
        return [
            each["vector"] if "vector" in each else unpack(each["base64"], self.number_type) or []
            for each in self.reply["embeddings"]
        ]


@dataclass(frozen=True, slots=True)
class Reranked(_Answered[RerankReply]):
    """Documents by their relevance."""

    @property
    def results(self) -> list[RerankResult]:
        """`index` into the documents and `score`, most relevant first."""
        return self.reply["results"]

    @property
    def order(self) -> list[int]:
        """The documents' indexes, most relevant first."""
        return [result["index"] for result in self.results]


@dataclass(frozen=True, slots=True)
class Counted:
    """The input tokens of a chat that was not sent."""

    reply: TokenCount
    record: DecisionRecord

    @property
    def input_tokens(self) -> int:
        """How many; see `counted` for how well that is known."""
        return self.reply["input_tokens"]

    @property
    def counted(self) -> Literal["exact", "bound", "vendor"]:
        """`exact`: by the model's tokenizer here; `vendor`: the vendor said so; `bound`: at most so many."""
        return self.reply["counted"]


__all__ = ["ChatReply", "ChatStream", "Counted", "Embedded", "Reranked"]
