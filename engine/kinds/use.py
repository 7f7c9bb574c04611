"""`use: NAME`: one target, called once and retried in place where that can help.

This is the only retry loop of the process: HTTP clients and SDKs below it never retry.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.kinds.effects import (
    Admission,
    Attempt,
    Context,
    Draw,
    Effect,
    Note,
    Outcome,
    Reserve,
    Steps,
    Wait,
)
from engine.plan.types import Node
from engine.policies.backoff import full_jitter
from engine.policies.failures import retried
from engine.policies.retry import LONGEST_DELAY_MS, in_place

if TYPE_CHECKING:
    from engine.kinds.walk import Rest

#: `retry.backoff` where nothing is written.
DEFAULT_BACKOFF_MS = 200

#: So often one request waits for a vendor's pause that others make longer meanwhile.
_MOST_PAUSES = 3

#: Skipped for these, it is a credential that is wrong.
_OF_CREDENTIALS = frozenset({"auth", "quota_exhausted", "permission"})


@dataclass(frozen=True, slots=True)
class Use(Node):
    """A target: a deployment with its call options."""

    kind: ClassVar[str] = "use"
    deployment: str


def longest(uses: Iterable[Use], within_ms: int | None) -> int | None:
    """How long one call of any of these may take, in ms, where a whole request may take so long; None: nobody
    limits it.
    """
    most: int | None = 0
    for use in uses:
        for ms in (use.call.total_ms, use.call.whole_ms):
            most = None if most is None or ms is None else max(most, ms)
    if within_ms is None:
        return most
    return within_ms if most is None else min(most, within_ms)


def steps(node: Use, ctx: Context, rest: Rest | None, last: Outcome | None = None, retry: int = 0) -> Steps:
    """Skip a target that cannot take the request; else call it, and again while the in-place rule allows.

    Args:
        last, retry: a call that has failed already, and how many were repeated by then: the next is one more.
    """
    unfit = ctx.unfit(node)
    if unfit is not None:
        return (yield from _skip(node, unfit.failure, unfit.why))
    pauses, waited = 0, False
    while True:
        if last is not None and not waited:
            if retry == (node.call.retry_extra or 0):
                return last
            again = yield from _wait(node, last, retry, ctx, rest)
            if not again:
                return last
            retry += 1
        waited = False
        number = ctx.next_attempt()
        if number is None:
            return last or (yield from _skip(node, "full", "per_request.calls are used up"))
        admission = yield Reserve(node, number)
        if admission.lease is None:
            if pauses < _MOST_PAUSES and (yield from _paused(node, admission, ctx, rest)):
                pauses += 1
                waited = True
                continue
            reason = admission.reason or "full"
            why = admission.why or f"{node.deployment} has no room: {reason}"
            # Credentials have names of our own; they stand in the record, and no client is told them.
            told = f"{node.deployment} cannot be asked now: {reason}" if reason in _OF_CREDENTIALS else why
            return last or (yield from _skip(node, reason, why, admission.retry_after_ms, told))
        last = yield Attempt(node, number, admission.lease, rest, retry)
        assert last is not None
        if last.ok:
            return last


def targets(node: Use, _ctx: Context) -> Iterator[Use]:
    yield node


def _skip(
    node: Use, failure: str, why: str, retry_after_ms: int | None = None, told: str | None = None
) -> Steps:
    """`why` is for the record; `told`, where it is another, for the client."""
    yield Note(node.id, "skipped", why)
    return Outcome(
        ok=False,
        failure=failure,
        message=told or why,
        retry_after_ms=retry_after_ms,
        deployment=node.deployment,
        tried=False,
    )


def _paused(node: Use, admission: Admission, ctx: Context, rest: Rest | None) -> Generator[Effect, Any, bool]:
    """Wait out a pause that the vendor wants, where nobody else could be asked instead.

    Who waits for the same pause comes back one after the other: it is longer by a draw of up to a tenth.
    """
    ms = admission.retry_after_ms
    if not admission.cooling or ms is None or ms > LONGEST_DELAY_MS:
        return False
    if not node.call.retry_extra or (rest is not None and rest.takes("full", ctx)):
        return False
    why = f"{admission.why}, for {ms} ms"
    fits: bool = yield Wait(node, int(ms * (1.0 + 0.1 * (yield Draw()))), why)
    if fits:
        yield Note(node.id, "waited", why)
    return fits


def _wait(
    node: Use, failed: Outcome, retry: int, ctx: Context, rest: Rest | None
) -> Generator[Effect, Any, bool]:
    """Let the time pass that belongs between two calls; False: leave the target instead."""
    failure = failed.failure or "server"
    call = node.call
    verdict = in_place(
        failure,
        listed=retried(call.retry_failures),
        named=call.retry_named or (),
        other_left=rest is not None and rest.takes(failure, ctx),
        delay_ms=failed.retry_after_ms,
        should_retry=failed.should_retry,
        rotates=failed.rotates,
    )
    if verdict == "leave":
        yield Note(node.id, "left", f"{failure} is not retried here")
        return False
    if verdict == "rotate":
        yield Note(node.id, "retried", f"{failure}, with another credential")
        return True
    if verdict == "vendor":
        ms, why = failed.retry_after_ms or 0, f"{failure}, after the vendor's delay"
    else:
        base = call.retry_backoff_ms if call.retry_backoff_ms is not None else DEFAULT_BACKOFF_MS
        ms, why = full_jitter(base, retry, (yield Draw())), f"{failure}, after a backoff"
    if (yield Wait(node, ms, why)):
        yield Note(node.id, "retried", why)
        return True
    yield Note(node.id, "left", f"{failure}, and waiting {ms} ms does not fit")
    return False
