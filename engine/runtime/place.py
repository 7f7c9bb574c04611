"""Where a call can go: a deployment, the upstream that reaches it, and what it can do in each format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol, cast, runtime_checkable

from engine.plan.types import Credential, Deployment
from engine.plan.vendors import Dialect, Provider
from engine.runtime.limit_term import LimitTerm
from engine.upstream.protocol import Upstream
from engine.wire.canonical import Request
from engine.wire.formats import Formats

Test = Callable[..., Any]

#: What a local model does. (It counts tokens too, as a `Counter`.)
LOCAL: Final = frozenset({"chat"})


@runtime_checkable
class Counter(Protocol):
    """An upstream that can count a request's tokens as its model does."""

    async def count(self, request: Request, deployment: Deployment) -> int | None:
        """Input tokens, exactly; None where it cannot tell now."""
        ...


class Face(NamedTuple):
    """A deployment in one format. `dialect` None: a local model's; `can` None: nobody knows.

    streams: the operations that can be streamed in it. echoes: an answer that is begun for it is given whole,
        with its beginning.
    """

    dialect: str | None
    can: frozenset[str] | None
    streams: frozenset[str]
    echoes: bool = False


@dataclasses.dataclass(slots=True)
class Place:
    """A deployment as a route reaches it.

    operations: those that are asked there; what else the engine can answer of it, it answers itself.
    formats: the choice among the formats that are spoken there.
    faces: what it is in each of them, in the order of `formats`; one for a local model.
    local: it runs on this host, and no vendor's silence is to be feared.
    missing: why it cannot be used in this process, if so.
    longest_ms: how long a call there may take; None: nobody limits it; 0: its time costs nothing.
    limits: what every call made there counts in.
    """

    deployment: Deployment
    upstream: Upstream
    operations: frozenset[str]
    formats: Formats
    faces: tuple[Face, ...]
    local: bool
    credentials: tuple[tuple[Credential, Test | None], ...]
    missing: str | None = None
    longest_ms: int | None = 0
    limits: tuple[LimitTerm, ...] = ()


def face_of(deployment: Deployment, provider: Provider, dialect: Dialect | None) -> Face:
    """provider: as the format of `dialect` sees it; None: a local model's."""
    can = deployment.facts.can
    if can is None and dialect is not None:
        # Unknown is whatever the dialect can, but for `prefill`: few models are trained for it.
        can = tuple(c for c in dialect.can if c != "prefill")
    streams = frozenset[str]() if can is not None and "stream" not in can else _streams(dialect)
    can_all = None if can is None else frozenset(can)
    return Face(provider.dialect, can_all, streams, "prefix_echo" in provider.takes)


def _streams(dialect: Dialect | None) -> frozenset[str]:
    """The operations that a format has a stream for; without a format it is a local model's."""
    if dialect is None:
        return LOCAL
    return frozenset(name for name, op in dialect.operations.items() if op.stream_read is not None)


def counters_of(places: Iterable[Place]) -> tuple[tuple[Counter, Deployment], ...]:
    """Who counts for each place that can be used; empty where one of them cannot count."""
    usable = [place for place in places if place.missing is None]
    if not usable or not all(isinstance(place.upstream, Counter) for place in usable):
        return ()
    return tuple((cast(Counter, place.upstream), place.deployment) for place in usable)
