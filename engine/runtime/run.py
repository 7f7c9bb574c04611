"""One request on its way through a snapshot: what it knows, and what its nodes may ask without a driver.

It is the `Context` of the kinds. Everything here is decided when the request begins or computed from it when
first asked; it holds no lock, awaits nothing and is thrown away with the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from engine.kinds.asking import CONSULT_TOKENS
from engine.kinds.effects import Aside, Unfit
from engine.kinds.use import Use
from engine.plan.types import Credential, Deployment, Node
from engine.plan.values import Expr
from engine.plan.vendors import PriceRow
from engine.policies.admission import USUAL, priority_of
from engine.runtime import fingerprint as fingerprints
from engine.runtime import tokens
from engine.runtime.bound_route import BoundRoute
from engine.runtime.fitness import why_unfit
from engine.runtime.hosted import Tools, tools_of
from engine.runtime.place import Face, Place
from engine.runtime.purse import Purse
from engine.runtime.record import DecisionRecord
from engine.runtime.seam import begun
from engine.runtime.snapshot import Snapshot
from engine.runtime.terms import Terms
from engine.runtime.views import ANONYMOUS, ClockView, Key, RequestView, Texts
from engine.wire.canonical import Request
from engine.wire.operations import AnyRequest
from engine.wire.pricing import worst_cost

if TYPE_CHECKING:
    from engine.runtime.quotas import Quota

#: What `can` decides about; other features are hints that a model may ignore.
_NEEDS = frozenset({"image", "audio", "file", "tools", "json_schema", "json_object", "logprobs"})

_FREE = (PriceRow(0, 0, 0, 0),)
_NO_LABELS = Texts()


@dataclass(slots=True)
class Inbound:
    """A request as it came in.

    request_id: must be the process's own and unique: leases hang on it.
    dialect: the client's; None where the engine is embedded.
    body: the client's own parsed body, for passthrough; None otherwise.
    headers: names in lower case.
    deadline_ms: the client waits this long, from now.
    quota: what it holds of its limits, once it was counted in them: what its answer tells of them.
    """

    request: AnyRequest
    request_id: str
    dialect: str | None = None
    operation: str = "chat"
    body: dict[str, Any] | None = None
    key: Key = ANONYMOUS
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline_ms: int | None = None
    quota: Quota | None = None


class Numbers:
    """The numbers of a request's attempts: shared by all that walks for it, so that none is given twice."""

    __slots__ = ("failed_at", "last", "out")

    def __init__(self) -> None:
        self.failed_at: str | None = None  # where the last one failed: what follows repeats it
        self.last = 0
        self.out = 0  # handed out and not given back: the calls made or about to be


class Fate:
    """What becomes of a branch: shared by all that walks in it.

    lost: it is cancelled because another branch answered, not because the client left.
    """

    __slots__ = ("lost",)

    def __init__(self) -> None:
        self.lost = False


_NO_RACE = Fate()


class Run:
    """A request being served, or one branch of it. Implements `kinds.effects.Context`.

    Branches share all of it but what they are made with: the record, the leases, the attempts' numbers and
    the deadline are the request's.
    """

    __slots__ = (
        "_tools",
        "_unfit",
        "_worst",
        "bound",
        "clock",
        "deadline",
        "entered",
        "exact",
        "inbound",
        "labels",
        "fate",
        "leases",
        "native",
        "max_tokens",
        "needs",
        "numbers",
        "quota",
        "purse",
        "record",
        "request",
        "role",
        "snapshot",
        "started",
        "stream",
        "taped",
        "terms",
        "view",
    )

    bound: BoundRoute
    view: RequestView
    terms: Terms

    def __init__(
        self, snapshot: Snapshot, inbound: Inbound, record: DecisionRecord, started: float, wall: float
    ) -> None:
        self.snapshot = snapshot
        self.inbound = inbound
        # One type for all operations: a field that only a chat has is absent from the others.
        self.request = cast(Request, inbound.request)
        self.record = record
        self.started = started  # ms on the executor's clock
        self.clock = ClockView(wall, snapshot.zone)
        self.view = RequestView(
            self.request, inbound.operation, inbound.dialect, inbound.headers, tokens.bound
        )
        self.stream = record.stream
        self.taped = False  # its answer is to be read whole, even where its bytes pass through
        self.deadline: float | None = None  # ms on the executor's clock
        self.max_tokens: int | None = None
        self.exact = False
        self.needs: frozenset[str] = frozenset()
        self.native: str | None = None  # a field of the client's body that only its own format can carry
        self.numbers = Numbers()
        self.role = "answer"
        self.fate = _NO_RACE
        self.labels: Mapping[str, str] = _NO_LABELS
        self.entered: str | None = None  # the route that it has a place of
        self.quota: Quota | None = None  # of its limits
        self.leases: set[int] = set()
        self.purse: Purse | None = None  # given once the input is counted, where anything counts its cost
        self._unfit: dict[str, Unfit | None] = {}
        self._worst: dict[str, int | None] = {}
        self._tools: dict[str, Tools | None] = {}

    # --- what the executor settles once a route is found ----------------------------------------------

    def take(self, bound: BoundRoute, terms: Terms | None = None) -> None:
        """The route is known: limits and needs follow from it. terms: default: the route's own."""
        self.bound = bound
        self.terms = bound.terms if terms is None else terms
        self._fit_in()
        dialect, body = self.inbound.dialect, self.inbound.body
        if dialect is not None and body is not None:
            self.native = self.snapshot.dialect(dialect).native_field(self.inbound.operation, body)
        limits = (self.inbound.deadline_ms, self.terms.per_request.time_ms)
        known = [limit for limit in limits if limit is not None]
        self.deadline = self.started + min(known) if known else None

    def _fit_in(self) -> None:
        """What the route makes of this request."""
        self.view.route = self.bound.route.name
        self.view.count_with(self.bound.count)
        self.needs = self.view.features & _NEEDS

    def counted(self, tokens: int) -> None:
        """All reachable models have counted the input by their own tokenizers."""
        self.exact = True
        self._worst = {}
        self._tools = {}
        self.view.counted(tokens)

    # --- the Context of the kinds ---------------------------------------------------------------------

    @property
    def operation(self) -> str:
        return self.inbound.operation

    @property
    def now(self) -> float:
        return self.clock.now

    def test(self, expr: Expr, *more: Any) -> bool:
        """Evaluate a boolean expression of this route."""
        return bool(self.value(expr, *more))

    def value(self, expr: Expr, *more: Any) -> Any:
        """Evaluate an expression of this route; `more` is what its scope has beside the route's."""
        return self.bound.tests[id(expr)](self.view, self.inbound.key, self.clock, self.labels, *more)

    def label(self, name: str, value: str) -> Run:
        made = copy(self)
        made.labels = Texts(self.labels)
        made.labels[name] = value
        return made

    def uncacheable(self) -> str | None:
        return fingerprints.uncacheable(self)

    def fingerprint(self, node: Node, scope: Sequence[str], *, but_question: bool = False) -> str:
        place = (self.bound.route.name, node.id, self.meaning(node))
        return fingerprints.fingerprint(self, place, scope, but_question=but_question)

    @property
    def question(self) -> str:
        return fingerprints.question(self.request)

    @property
    def org(self) -> str:
        return self.inbound.key.org

    def meaning(self, node: Node) -> str:
        """What a node of this route would mean: the same text while nothing below it has changed."""
        return self.snapshot.meaning(self.bound, node)

    def deployment(self, name: str) -> Deployment:
        return self.bound.places[name].deployment

    def next_attempt(self) -> int | None:
        most, numbers = self.terms.per_request.calls, self.numbers
        if most is not None and numbers.out >= most:
            return None
        numbers.out += 1
        numbers.last += 1
        return numbers.last

    def give_back(self, attempt: int) -> None:
        """The attempt of this number is not made after all."""
        numbers = self.numbers
        numbers.out -= 1
        if numbers.last == attempt:
            numbers.last -= 1

    def unfit(self, target: Use) -> Unfit | None:
        """Asked for every target before it is called, and computed once per deployment."""
        name = target.deployment
        if name not in self._unfit:
            self._unfit[name] = why_unfit(self, self.bound.places[name])
        return self._unfit[name]

    def turn(self) -> tuple[int, str]:
        """How it waits for a place: its priority, and the key among whose like turns are taken."""
        route = self.bound.route
        priority, key = USUAL, self.inbound.key.id
        if route.priority is not None:
            priority = priority_of(self.value(route.priority))
        if route.fair_by is not None:
            key = str(self.value(route.fair_by))
        return priority, key

    # --- what walks beside it, or for it ---------------------------------------------------------------

    def beside(self, role: str, *, whole: bool) -> Run:
        """This request for a branch of its own; `whole`: its answer is never a live stream."""
        made = copy(self)
        made.stream = self.stream and not whole
        made.fate = Fate()
        if role != "answer":
            made.role = role
        return made

    def consulting(self, request: AnyRequest, operation: str, role: str) -> Run:
        """A request of the engine's own, within this one: its calls, time and leases are this request's.

        Of the client's it has the key alone: neither its body nor its headers nor its format.
        """
        made = copy(self)
        made.inbound = replace(self.inbound, request=request, dialect=None, operation=operation, body=None,
                               headers={})  # fmt: skip
        made.request = cast(Request, request)
        made.view = RequestView(made.request, operation, None, {}, tokens.bound)
        made.stream = False
        made.max_tokens = made.request.get("max_tokens", CONSULT_TOKENS) if operation == "chat" else None
        made.view.max_output_tokens = made.max_tokens or 0
        made.exact = False
        made.native = None
        made.role = role
        made._unfit, made._worst, made._tools = {}, {}, {}
        made._fit_in()
        return made

    def continuing(self, said: str) -> Run:
        """The request for the rest of an answer whose beginning is `said`, to end with it."""
        made = copy(self)
        made.request = begun(self.request, said)
        made.inbound = replace(self.inbound, request=made.request)
        made.view = RequestView(
            made.request, self.inbound.operation, self.inbound.dialect, self.inbound.headers, tokens.bound
        )
        made.exact = False
        if self.max_tokens is not None:
            made.max_tokens = max(1, self.max_tokens - tokens.guess(len(said.encode())))
            made.view.max_output_tokens = made.max_tokens
        made.role = "continue"
        made._unfit, made._worst, made._tools = {}, {}, {}
        made._fit_in()
        made.needs |= {"prefill"}
        return made

    def apart(self, record: DecisionRecord, effect: Aside, started: float) -> Run:
        """A copy of this request that is one of its own from here on: `record`'s, begun at `started`."""
        made = copy(self)
        made.record = record
        made.inbound = replace(self.inbound, request_id=record.id)
        made.started = started
        most = self.terms.per_request.time_ms
        made.deadline = None if most is None else started + most
        made.stream = False
        made.role = effect.role
        made.labels = Texts(effect.labels)
        made.numbers = Numbers()
        made.fate = _NO_RACE
        made.leases = set()
        made.purse = None if self.purse is None else self.purse.another()
        made.entered = None
        made.quota = None
        return made

    @property
    def continues(self) -> bool:
        """Whether a stream that breaks after its commit point may be gone on with."""
        stream = self.bound.route.stream
        return (
            stream.on_cut == "continue"
            and stream.switch_until == "first_token"
            and self.stream
            and self.inbound.operation == "chat"
        )

    def joins(self) -> bool:
        """Whether events of ours may follow a vendor's own bytes in the client's format: where events are
        numbered, they may not.
        """
        dialect = self.inbound.dialect
        if dialect is None:
            return True
        write = self.snapshot.dialect(dialect).plan.operations[self.inbound.operation].stream_write
        return write is not None and write.numbered is None

    # --- what a target means for this request ---------------------------------------------------------

    def output_limit(self, place: Place) -> int | None:
        """max_tokens of a call there: what the client asks or the route gives, as far as the model goes.

        0 where the operation is no chat: nothing is written.
        """
        if self.inbound.operation != "chat":
            return 0
        most = place.deployment.facts.output
        asked = self.max_tokens
        if asked is None or most is None:
            return asked
        return min(asked, most)

    def most_tokens(self) -> int:
        """Input and output that one call may use at most; of a model whose longest output nobody knows, and
        where nobody limits it, the input alone.
        """
        operation = self.inbound.operation
        if operation == "count_tokens":
            return 0
        most = self.view.input_tokens
        if operation == "chat":
            output = self.bound.most_output if self.max_tokens is None else self.max_tokens
            most += output * self.request.get("n", 1)
        return most

    def face(self, place: Place) -> Face:
        """The deployment in the format that this request goes out in."""
        inbound = self.inbound
        return place.faces[place.formats.choose(inbound.operation, inbound.dialect, self.request)]

    def worst_cost(self, place: Place) -> int | None:
        """Nano-dollars that one call there can cost at most; None where a price or the limit is unknown, and
        0 where it is written that nothing is to be reserved.

        It is the most that any price of this hour makes of it. Asked for the lease of an attempt and for its
        record, and computed once per deployment.
        """
        name = place.deployment.name
        if name not in self._worst:
            self._worst[name] = self._worst_cost(place)
        return self._worst[name]

    def _worst_cost(self, place: Place) -> int | None:
        if place.deployment.uncounted:
            return 0
        most = self.most_output(place)
        if most is None:
            return None
        tools = self.tools(place)
        if tools is not None and tools.cost is None:
            return None
        read = self.most_input(place)
        units = tokens.search_units(self.request, read) if self.inbound.operation == "rerank" else 1
        worst = worst_cost(read, most, self.prices(place), self.clock.now, place.longest_ms, units)
        return worst if worst is None or tools is None else worst + (tools.cost or 0)

    def tools(self, place: Place) -> Tools | None:
        """What the vendors' own tools of the request may come to there; None: nothing."""
        if "tools" not in self.request:  # most requests
            return None
        name = place.deployment.name
        if name not in self._tools:
            self._tools[name] = tools_of(self, place)
        return self._tools[name]

    def most_input(self, place: Place) -> int:
        """Tokens that one call there may read: of files, recordings and what the vendor keeps, which no
        count here has (conversations), as many as the model reads at most; and again after each use of a tool
        that the vendor runs.
        """
        once, tools = self._most_read(place), self.tools(place)
        if tools is None or not tools.uses:
            return once
        context = place.deployment.facts.context or tokens.LONGEST_CONTEXT
        return tools.input(once, self.most_output(place) or 0, context)

    def _most_read(self, place: Place) -> int:
        """The same of one reading."""
        told = self.view.input_tokens
        if self.inbound.operation == "count_tokens":
            return told
        beside = None if self._reads_elsewhere() else tokens.media_tokens(self.request)
        if beside == 0:
            return told
        context = place.deployment.facts.context or tokens.LONGEST_CONTEXT
        return max(told, context if beside is None else min(told + beside, context))

    def _reads_elsewhere(self) -> bool:
        """Whether the client's body has the vendor read what is not in it."""
        dialect, body = self.inbound.dialect, self.inbound.body
        if dialect is None or body is None:
            return False
        return self.snapshot.dialect(dialect).costs.reads_elsewhere(body)

    def most_output(self, place: Place) -> int | None:
        """Tokens that one call there may write, over all answers; None where nobody knows."""
        output = self.output_limit(place)
        most = place.deployment.facts.output if output is None else output
        if most is None:
            return None
        # What was predicted and is not so may be billed as if it had been written.
        predicted = tokens.json_size(self.request.get("prediction"))
        return (most + predicted) * self.request.get("n", 1)

    def worst_tokens(self, place: Place) -> int | None:
        """Tokens that one call there can use at most, input and output; None where nobody knows."""
        if self.inbound.operation == "count_tokens":
            return 0
        most, tools = self.most_output(place), self.tools(place)
        if most is None or (tools is not None and tools.uses is None):
            return None
        return self.most_input(place) + most

    def prices(self, place: Place) -> Sequence[PriceRow]:
        """What a call there costs, empty where that is unknown. Vendors count tokens for nothing."""
        return _FREE if self.inbound.operation == "count_tokens" else place.deployment.facts.prices

    def told_model(self, place: Place) -> str:
        """The `model` of the answer: the one that serves, unless the route hides that."""
        if self.bound.route.reply_model == "requested":
            return self.view.model
        model = place.deployment.model
        return self.view.model if model == "*" else model

    def usable(self, place: Place) -> list[Credential]:
        """The credentials that may be shown there for this request: those whose `only` holds, of those that
        the policies allow its key.
        """
        asked = (self.view, self.inbound.key, self.clock, self.labels)
        found = [c for c, only in place.credentials if only is None or only(*asked)]
        terms = self.terms
        if terms.explicit or terms.credentials is not None:
            return [c for c in found if terms.allows(c)]
        return found
