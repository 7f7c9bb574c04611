"""A decision record as prose: which route and why, who was asked when, who was not and why, how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import EngineError
from engine.explain.limit_use import LimitUse
from engine.runtime.record import AttemptRecord, BudgetUse, DecisionRecord
from engine.units import show_money

_NOUNS = {"concurrent": "places"}
_VERBS = {
    "took": "takes the branch",
    "hit": "has the answer",
    "miss": "has no answer",
    "bypass": "is passed by",
    "labelled": "labels it",
    "variant": "gives the arm",
    "queued": "waits",
    "skipped": "skipped",
    "left": "is left",
    "retried": "is asked again",
    "waited": "is waited for",
    "moved_on": "moves on after",
    "stopped": "stops",
    "answered": "answers with",
    "rejected": "rejects with",
    "raced": "begins a race",
    "hedged": "ends its race",
    "escalated": "goes on",
    "judged": "judges",
    "merged": "merges",
    "mirrored": "sends a copy",
    "cut": "breaks off",
    "jumped": "jumps",
}


def prose(
    record: DecisionRecord,
    error: EngineError | None = None,
    copies: Sequence[DecisionRecord] = (),
    limits: Sequence[LimitUse] = (),
) -> list[str]:
    """The lines that tell what happened to a request, in order, and to the copies that were made of it."""
    return [
        *_route(record),
        *_limits(limits),
        *_path(record),
        *_attempts(record),
        *_end(record, error),
        *(line for copy in copies for line in _copy(copy)),
    ]


def _copy(record: DecisionRecord) -> Iterator[str]:
    ended = f"fails: {record.failure}" if record.failure is not None else f"{record.served_by} answers"
    yield f"A copy, which no client waits for: {ended}, {show_cost(record.cost)}."


def _route(record: DecisionRecord) -> Iterator[str]:
    if record.route is None:
        yield f"No route takes model {record.model!r}."
        return
    yield f"Route {record.route} takes model {record.model!r} (revision {record.revision[:12]})."
    if record.input_tokens is not None:
        how = "exactly" if record.input_exact else "at most"
        yield f"The input is {how} {record.input_tokens} tokens."


def _limits(limits: Sequence[LimitUse]) -> Iterator[str]:
    if limits:
        yield ""
        yield "Limits"
    for name, partition, measure, held in limits:
        whose = f" ({partition})" if partition else ""
        noun = _NOUNS.get(measure, measure)
        yield f"  {name}{whose}: {f'{held} {noun} held' if held else f'no {noun} counted'}"


def _path(record: DecisionRecord) -> Iterator[str]:
    if record.path:
        yield ""
        yield "Path"
    for step in record.path:
        yield f"  {step.node}: {_VERBS.get(step.what, step.what)}: {step.why}"


def _attempts(record: DecisionRecord) -> Iterator[str]:
    yield ""
    if not record.attempts:
        yield "Nobody was called."
        return
    yield "Calls"
    width = max(len(attempt.deployment) for attempt in record.attempts)
    for attempt in record.attempts:
        yield f"  {_attempt(attempt, width)}"
        yield from (f"     {_counted(use)}" for use in attempt.budgets)


def _attempt(attempt: AttemptRecord, width: int) -> str:
    ended = attempt.ended_ms if attempt.ended_ms is not None else attempt.started_ms
    when = f"{attempt.started_ms:>8.0f} ms  {attempt.deployment.ljust(width)}"
    if attempt.role != "answer":
        when += f"  as {attempt.role}"
    took = f"after {ended - attempt.started_ms:.0f} ms"
    if attempt.failure is None:
        return f"{attempt.number}. {when}  answered {took}, {show_cost(attempt.cost.total)}"
    return f"{attempt.number}. {when}  {attempt.failure} {took}"


def _counted(use: BudgetUse) -> str:
    whose = f" ({use.partition})" if use.partition else ""
    settled = "still held" if use.settled is None else f"{_amount(use, use.settled)} used"
    return f"budget {use.name}{whose}: {_amount(use, use.reserved)} reserved, {settled}"


def _amount(use: BudgetUse, amount: int) -> str:
    return show_money(amount) if use.measure == "cost" else f"{amount} tokens"


def _end(record: DecisionRecord, error: EngineError | None) -> Iterator[str]:
    yield ""
    if error is not None:
        yield f"Outcome: HTTP {error.status}, {error.code}: {error.message}"
    elif record.served_by is not None:
        yield f"Outcome: {record.served_by} answers, {show_cost(record.cost)} in all."
    else:
        yield "Outcome: the route answers by itself."


def show_cost(nanos: int) -> str:
    """Nano-dollars for people."""
    return show_money(nanos)
