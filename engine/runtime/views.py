"""What expressions read of a request, a client key and the clock: computed when first asked, then kept.

Absent texts are `""`, as the language says, so that an expression never meets a None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Final, cast

from engine.policies.language import language_of
from engine.wire.canonical import Part, Request
from engine.wire.operations import AnyRequest, EmbeddingRequest, RerankRequest

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


#: Parts of messages that a model may not be able to read.
_MEDIA: Final = frozenset({"image", "audio", "file"})


class Texts(dict[str, str]):
    """A map in which what is not there is `""`."""

    def __missing__(self, key: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Key:
    """The client key behind a request. Without client keys (loopback, embedding) all of it is empty.

    groups, models, limits, budgets: what the key itself says, beside what groups and policies say of it; the
    models are the only ones that it may ask for, None: all. ips: where it may come from; empty: anywhere.
    """

    id: str = ""
    name: str = ""
    org: str = ""
    tags: Mapping[str, str] = field(default_factory=Texts)
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()


ANONYMOUS = Key()


class RequestView:
    """`request.*` of the language over a canonical request.

    Args:
        request: the canonical request.
        operation: `chat`, ...
        dialect: the client's; None where the engine is embedded.
        headers: names in lower case.
        count: gives the input tokens; asked at most once.
    """

    __slots__ = (
        "_body",
        "_count",
        "_features",
        "_language",
        "_headers",
        "_text",
        "_tokens",
        "dialect",
        "max_output_tokens",
        "operation",
        "route",
    )

    def __init__(
        self,
        request: Request,
        operation: str,
        dialect: str | None,
        headers: Mapping[str, str],
        count: Callable[[Request], int],
    ) -> None:
        self._body = request
        self._headers = headers
        self._count = count
        self._tokens: int | None = None
        self._text: str | None = None
        self._features: frozenset[str] | None = None
        self._language: str | None = None
        self.operation = operation
        self.route = ""  # known once one was found
        self.dialect = dialect or ""
        self.max_output_tokens = request.get("max_tokens", 0)

    @property
    def model(self) -> str:
        return self._body.get("model", "")

    @property
    def stream(self) -> bool:
        return bool(self._body.get("stream", False))

    @property
    def user(self) -> str:
        return self._body.get("user", "")

    @property
    def conversation(self) -> str:
        return self._body.get("conversation", "")

    @property
    def metadata(self) -> Mapping[str, str]:
        return Texts(self._body.get("metadata", {}))

    @property
    def input_tokens(self) -> int:
        if self._tokens is None:
            self._tokens = self._count(self._body)
        return self._tokens

    def count_with(self, count: Callable[[Request], int]) -> None:
        """Count anew by this rule: the route is known now, and with it whose tokens these are."""
        self._count = count
        self._tokens = None

    def counted(self, tokens: int) -> None:
        """The input is this many tokens: from here on nobody counts again."""
        self._tokens = tokens

    @property
    def text(self) -> str:
        """What the user wrote: the text parts of all user messages; what is embedded; a ranking's query."""
        if self._text is None:
            self._text = "\n".join(_user_texts(self._body))
        return self._text

    @property
    def language(self) -> str:
        """The ISO 639-1 code of the text's language; "" where that is not clear."""
        if self._language is None:
            self._language = language_of(self.text)
        return self._language

    @property
    def turns(self) -> int:
        """Messages of the user."""
        return sum(message.get("role") == "user" for message in self._body.get("messages", ()))

    def header(self, name: str) -> str:
        """The value of a request header, whatever the case of its name."""
        return self._headers.get(name.lower(), "")

    def has(self, feature: str) -> bool:
        """`image audio file tools json_schema json_object reasoning`: does the request hold or ask for it?"""
        return feature in self.features

    @property
    def features(self) -> frozenset[str]:
        """All of them."""
        if self._features is None:
            self._features = _features(self._body)
        return self._features


def _user_texts(request: AnyRequest) -> Iterator[str]:
    operation = request.get("operation")
    if operation == "rerank":
        yield cast(RerankRequest, request).get("query", "")
    elif operation == "embeddings":
        for each in cast(EmbeddingRequest, request).get("input", ()):
            yield from (each["text"],) if "text" in each else _text_parts(each.get("content", ()))
    else:
        for message in cast(Request, request).get("messages", ()):
            if message.get("role") == "user":
                yield from _text_parts(message.get("content", ()))


def _text_parts(content: Iterable[Part]) -> Iterator[str]:
    return (part.get("text", "") for part in content if part.get("type") == "text")


def _features(request: Request) -> frozenset[str]:
    """What a request holds beyond text, and what it asks of the answer."""
    named: set[str] = {kind for part in parts(request) if (kind := part.get("type")) in _MEDIA}
    if request.get("tools"):
        named.add("tools")
    if "response_format" in request:
        form = request["response_format"].get("type")
        if form == "json_schema" or form == "json_object":
            named.add(form)
    if "reasoning" in request:
        reasoning = request["reasoning"]
        if reasoning.get("effort", "none") != "none" or reasoning.get("budget"):
            named.add("reasoning")
    if request.get("logprobs"):
        named.add("logprobs")
    return frozenset(named)


def parts(request: AnyRequest) -> list[Part]:
    """Every part of every message, those inside tool results too, or of what is embedded."""
    found: list[Part] = []
    if request.get("operation") == "embeddings":
        for each in cast(EmbeddingRequest, request).get("input", ()):
            found.extend(each.get("content", ()))
    for message in cast(Request, request).get("messages", ()):
        for part in message.get("content", ()):
            found.append(part)
            if "content" in part:
                found.extend(part["content"])
    return found


_NO_SHARES: Mapping[str, float] = {}


class ClockView:
    """`now`, `weekday`, `between` at the moment the request began, in the workspace's time zone; and how much
    of budgets was used then.
    """

    __slots__ = ("_local", "_zone", "now", "shares")

    def __init__(self, now: float, zone: tzinfo) -> None:
        self.now = now
        self.shares: Mapping[str, float] = _NO_SHARES
        self._zone = zone
        self._local: datetime | None = None

    def _time(self) -> datetime:
        if self._local is None:
            self._local = datetime.fromtimestamp(self.now, self._zone)
        return self._local

    def budget_used(self, name: str) -> float:
        """How much of a budget's limit was spent or held when the request began: 0.8 for 80%."""
        return self.shares.get(name, 0.0)

    @property
    def weekday(self) -> str:
        return _WEEKDAYS[self._time().weekday()]

    def between(self, start: int, end: int) -> bool:
        """Minutes after midnight, start included, end not; a start after the end spans midnight."""
        now = self._time().hour * 60 + self._time().minute
        return start <= now < end if start <= end else now >= start or now < end
