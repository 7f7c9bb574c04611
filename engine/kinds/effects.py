"""What a node may ask its driver for, and what it is sent back.

A kind's `steps` is a generator: it yields an effect and receives the answer, so the same routing logic runs
in the executor, in `explain`, in `engine test` and in unit tests that answer by hand. No kind
reads a clock, draws a random number, touches a socket or awaits.

Effects are not frozen, because making a frozen value costs three times as much and a walk makes a dozen;
nobody changes one after it is yielded.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from engine.kinds.use import Use
    from engine.plan.types import Deployment, Expr


@dataclass(slots=True)
class Reserve:
    """May this attempt start? Asked before every attempt; answered with an `Admission`.

    The store checks breaker, concurrency, limits and budgets in one go and, where all agree, holds the
    attempt's worst cost until it is settled or released. `attempt` makes it idempotent.
    """

    target: Use
    attempt: int


@dataclass(slots=True)
class Admission:
    """Answer to `Reserve`: a lease, or why not (`full`, `permission`, ...) and for how long."""

    lease: int | None
    reason: str | None = None
    retry_after_ms: int | None = None


@dataclass(slots=True)
class Attempt:
    """Call the target's deployment once. Answered with an `Outcome`; the driver closes the lease."""

    target: Use
    attempt: int
    lease: int


@dataclass(slots=True)
class Wait:
    """Let this much time pass. Answered with True, or at once with False where it does not fit.

    It has to fit the request's deadline and, since not every request has one, the target's own `total`.
    """

    target: Use
    ms: int
    why: str


@dataclass(slots=True)
class Draw:
    """A random number in [0, 1)."""


@dataclass(slots=True)
class Next:
    """The next number of a shared counter: 0, 1, 2, ... Answered with an int."""

    key: str


@dataclass(slots=True)
class Measure:
    """What is known of deployments now. Answered with a tuple of floats, in order; NaN = unknown.

    `in_flight` open attempts, `latency` peak EWMA in ms, `cost` nano-dollars of this request there,
    in the worst case.
    """

    what: Literal["in_flight", "latency", "cost"]
    deployments: tuple[str, ...]


@dataclass(slots=True)
class Note:
    """A line for the decision record: at this node, this happened, because. Answered with None.

    `what` is one of a few words: took, skipped, left, retried, moved_on, stopped, answered, rejected.
    """

    node: str
    what: str
    why: str


Effect = Reserve | Attempt | Wait | Draw | Next | Measure | Note


@dataclass(slots=True)
class Outcome:
    """How an attempt, or a whole node, ended.

    ok: an answer is there; `reply` holds it.
    failure: the failure class where there is none.
    tried: False where no call was made for it: the target was skipped.
    final: answered by the graph itself (reject, respond): nobody else is asked.
    reply: what the driver put there (a whole answer or a live stream); the text of a `respond`.
    """

    ok: bool
    failure: str | None = None
    message: str = ""
    status: int | None = None
    code: str | None = None
    retry_after_ms: int | None = None
    deployment: str | None = None
    attempt: int | None = None
    tried: bool = True
    final: bool = False
    reply: Any = None


class Unfit(NamedTuple):
    """A target that is skipped: its failure class, and why in words for the record."""

    failure: str
    why: str


class Context(Protocol):
    """What a node may know, without asking the driver. All of it is fixed when the request begins."""

    def test(self, expr: Expr) -> bool:
        """Evaluate a boolean expression over the request, the key and the start time."""
        ...

    def deployment(self, name: str) -> Deployment:
        """The plan's deployment of that name."""
        ...

    def unfit(self, target: Use) -> Unfit | None:
        """Why the target cannot serve this request, known before any call; None where it can."""
        ...

    def next_attempt(self) -> int | None:
        """Number of the next attempt (from 1), or None once `per_request.calls` are used up.

        Asking does not use it up: an attempt counts when it is made.
        """
        ...


Steps = Generator[Effect, Any, Outcome]

__all__ = [
    "Admission",
    "Attempt",
    "Context",
    "Draw",
    "Effect",
    "Measure",
    "Next",
    "Note",
    "Outcome",
    "Reserve",
    "Steps",
    "Unfit",
    "Wait",
]
