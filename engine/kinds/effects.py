"""What a node may ask its driver for, and what it is sent back.

A kind's `steps` is a generator: it yields an effect and receives the answer, so the same routing logic runs
in the executor, in `explain`, in `engine test` and in unit tests that answer by hand. No kind
reads a clock, draws a random number, touches a socket or awaits.

Effects are not frozen, because making a frozen value costs three times as much and a walk makes a dozen;
nobody changes one after it is yielded.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from engine.kinds.use import Use
    from engine.kinds.walk import Rest
    from engine.plan.types import Deployment, Node
    from engine.plan.values import Expr
    from engine.wire.operations import AnyRequest


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
    """Answer to `Reserve`: a lease, or why not (`full`, `permission`, ...) and for how long.

    why: the reason in words, where there are better ones than its class.
    cooling: a vendor wants this pause: after it the target is as good as any.
    for_money: it costs more than the request may spend, whatever else has room.
    """

    lease: int | None
    reason: str | None = None
    retry_after_ms: int | None = None
    why: str | None = None
    cooling: bool = False
    for_money: bool = False


@dataclass(slots=True)
class Attempt:
    """Call the target's deployment once. Answered with an `Outcome`; the driver closes the lease.

    rest, retry: who is left to ask after it, and how often it was repeated in place: what a stream that
    breaks later goes on from (`kinds/resume.py`).
    """

    target: Use
    attempt: int
    lease: int
    rest: Rest | None = None
    retry: int = 0


@dataclass(slots=True)
class Detour:
    """Does a budget or limit lead this request elsewhere, to one of these names? Answered with (name, why),
    or None.

    after: nobody answered so far; else nobody was asked yet.
    """

    names: tuple[str, ...]
    after: bool


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

    `in_flight` open attempts, `latency` peak EWMA in ms, `p10` to `p99` that percentile of its latency in ms,
    `cost` nano-dollars of this request there, in the worst case, `quality` and `headroom` from 0 to 1.
    """

    what: str
    deployments: tuple[str, ...]


@dataclass(slots=True)
class Note:
    """A line for the decision record: at this node, this happened, because. Answered with None.

    `what` is one of a few words: took, queued, skipped, left, retried, waited, moved_on, stopped, answered,
    rejected, raced, hedged, escalated, judged, merged, mirrored, cut, jumped.
    """

    node: str
    what: str
    why: str


@dataclass(slots=True)
class Variant:
    """This request takes that arm of a split: a `Note`, and the record's `variant`. Answered with None."""

    node: str
    name: str
    why: str


@dataclass(slots=True)
class Branch:
    """A walk beside others.

    after_ms: in a `Race` it begins then, counted from the race's own beginning, or at once when all before it
        have failed.
    whole: its answer is collected and never a live stream, whatever the client wants.
    role: what its calls are in the record; "answer" leaves them what they are around it.
    """

    steps: Steps
    after_ms: int = 0
    whole: bool = False
    role: str = "answer"


@dataclass(slots=True)
class Race:
    """The first good answer of several. Answered with its `Outcome` once the others are cancelled and their
    upstreams closed; where none is good, with the worse of all failures.
    """

    branches: tuple[Branch, ...]


@dataclass(slots=True)
class Gather:
    """All of several, each collected whole. Answered with a tuple of their `Outcome`s, in order.

    One branch alone is how a kind has an answer collected that it must look at first.
    """

    branches: tuple[Branch, ...]


@dataclass(slots=True)
class Aside:
    """A copy of the request to a node that nobody waits for. Answered with None at once.

    It is a request of its own from here on: with its own record, its own `per_request` ceilings and its own
    end. Where too many run already, it is left out, and the record says so.

    labels: those that stand above the node.
    """

    node: Node
    role: str
    why: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Consult:
    """A request of the engine's own: to a judge, a classifier, an embedder. Answered with an `Outcome` whose
    `reply` is a `Whole`.

    Its calls count against the request's `per_request`, its deadline and its budgets.
    """

    node: Node
    request: AnyRequest
    operation: str
    why: str
    role: str


@dataclass(slots=True)
class Recall:
    """What is kept under a key of a space ("sticky", "cache", ...). Answered with the value, or None."""

    space: str
    key: str


@dataclass(slots=True)
class Keep:
    """Keep a value under a key of a space for so long. Answered with None."""

    space: str
    key: str
    value: Any
    ttl_ms: int


#: Roles of the calls that the engine makes for itself.
CONSULTS = frozenset({"judge", "classify", "embed"})


@dataclass(slots=True)
class Cached:
    """What a cache did with the request: a `Note`, and the record's `cache`. Answered with None."""

    node: str
    what: Literal["hit", "miss", "bypass"]
    why: str


@dataclass(slots=True)
class Lookup:
    """An answer kept under this key. Answered with an `Outcome` of this request's own, or None.

    young_ms: an older one does not count.
    """

    key: str
    young_ms: int


@dataclass(slots=True)
class Retain:
    """Keep the answer of an outcome under this key, where it is one worth keeping. Answered with None.

    A stream's is kept when it has come to its good end.
    """

    key: str
    ttl_ms: int
    outcome: Outcome


Effect = (
    Reserve
    | Attempt
    | Detour
    | Wait
    | Draw
    | Next
    | Measure
    | Note
    | Variant
    | Race
    | Gather
    | Aside
    | Consult
    | Recall
    | Keep
    | Cached
    | Lookup
    | Retain
)


@dataclass(slots=True)
class Outcome:
    """How an attempt, or a whole node, ended.

    ok: an answer is there; `reply` holds it.
    failure: the failure class where there is none.
    tried: False where no call was made for it: the target was skipped.
    final: answered by the graph itself (reject, respond): nobody else is asked.
    rotates: another credential of the deployment could be shown at once.
    should_retry: whether the vendor said that it is worth repeating; None: it did not.
    unsent: nothing of the call went out.
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
    rotates: bool = False
    should_retry: bool | None = None
    unsent: bool = False
    reply: Any = None


class Unfit(NamedTuple):
    """A target that is skipped: its failure class, and why in words for the record."""

    failure: str
    why: str


class View(Protocol):
    """What a request says of itself, computed when it is first asked for."""

    @property
    def text(self) -> str:
        """What the user wrote."""
        ...

    @property
    def input_tokens(self) -> int: ...

    @property
    def language(self) -> str:
        """The ISO 639-1 code of the text's language; "" where that is not clear."""
        ...

    @property
    def features(self) -> frozenset[str]:
        """What it holds or asks for beside text: image, tools, json_schema, ..."""
        ...

    def header(self, name: str) -> str:
        """The value of a request header, "" where it is not there."""
        ...

    @property
    def turns(self) -> int:
        """Messages of the user."""
        ...


class Context(Protocol):
    """What a node may know, without asking the driver. All of it is fixed when the request begins."""

    @property
    def request(self) -> AnyRequest:
        """The canonical request."""
        ...

    @property
    def view(self) -> View:
        """`request.*` of the language."""
        ...

    @property
    def operation(self) -> str:
        """`chat`, `embeddings`, ..."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the client wants a stream."""
        ...

    @property
    def now(self) -> float:
        """When the request began, in epoch seconds."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that stand above this place in the graph."""
        ...

    def test(self, expr: Expr, *more: Any) -> bool:
        """Evaluate a boolean expression over the request, the key, the start time and the labels.

        `more`: what its scope has beside these, in the order of `plan/scopes.py`.
        """
        ...

    def value(self, expr: Expr, *more: Any) -> Any:
        """The same of an expression of any type."""
        ...

    def label(self, name: str, value: str) -> Context:
        """The context for what stands below a `classify`: there `label.NAME` has this value."""
        ...

    def uncacheable(self) -> str | None:
        """Why no kept answer may stand for this request's; None where one may."""
        ...

    def fingerprint(self, node: Node, scope: Sequence[str], *, but_question: bool = False) -> str:
        """A digest of all that shapes what a node answers to this request, of its place, and of `scope`.

        but_question: of the text of the user's last message it says nothing.
        """
        ...

    @property
    def question(self) -> str:
        """The text of the user's last message; "" where it holds more than text."""
        ...

    @property
    def org(self) -> str:
        """The organisation of the client key; "" where it has none."""
        ...

    def meaning(self, node: Node) -> str:
        """A digest of all that shapes what a node of this route answers: another one after an edit of it, or
        of the deployments, vendors and formats below it.
        """
        ...

    def deployment(self, name: str) -> Deployment:
        """The plan's deployment of that name."""
        ...

    def unfit(self, target: Use) -> Unfit | None:
        """Why the target cannot serve this request, known before any call; None where it can."""
        ...

    def next_attempt(self) -> int | None:
        """A number for an attempt (from 1, none twice), or None once `per_request.calls` are used up.

        It is handed out with this; a `Reserve` that is refused gives it back.
        """
        ...


Steps = Generator[Effect, Any, Outcome]

__all__ = [
    "CONSULTS",
    "Admission",
    "Aside",
    "Attempt",
    "Branch",
    "Cached",
    "Consult",
    "Context",
    "Detour",
    "Draw",
    "Effect",
    "Gather",
    "Keep",
    "Lookup",
    "Measure",
    "Next",
    "Note",
    "Outcome",
    "Race",
    "Recall",
    "Reserve",
    "Retain",
    "Steps",
    "Unfit",
    "Variant",
    "View",
    "Wait",
]
