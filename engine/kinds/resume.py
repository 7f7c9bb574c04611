"""`on_cut: continue`: who goes on with an answer whose beginning the client already has.

It is asked for nothing but the rest of that answer: first where the stream broke, as far as its `retry` goes,
then those who would be asked after it for that failure, in their order. The context is that of a request
extended by the beginning: in it a target that cannot go on with a begun answer (no `prefill` in its facts)
is unfit, so it is skipped and never asked. What a failed continuation says is between the engine and that
target: whatever it is, the next one is asked, and where nobody is left the break itself is what failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kinds import use
from engine.kinds.effects import Attempt, Context, Note, Outcome, Steps
from engine.kinds.use import Use
from engine.kinds.walk import Rest, targets

#: A stream that ends with one of these broke; with any other its vendor, or the client, ended it.
BREAKS: Final = frozenset(
    {"cut", "timeout", "server", "connect", "overloaded", "rate_limited", "quota_exhausted"}
)


@dataclass(slots=True)
class Broken:
    """A stream that broke.

    attempt: the call behind it. failure, message: how. for_good: no time is left to go on.
    retry_after_ms: when its vendor said to come again. said: characters that the client had by then.
    """

    attempt: Attempt
    failure: str
    message: str
    for_good: bool = False
    retry_after_ms: int | None = None
    said: int = 0


def steps(broken: Broken, ctx: Context) -> Steps:
    """Ask for the rest of the answer until somebody goes on with it."""
    attempt, failure = broken.attempt, broken.failure
    target = attempt.target
    failed = Outcome(
        False,
        failure,
        broken.message,
        retry_after_ms=broken.retry_after_ms,
        deployment=target.deployment,
        attempt=attempt.attempt,
    )
    yield Note(target.id, "cut", f"{failure} after {broken.said} characters")
    outcome = yield from use.steps(target, ctx, attempt.rest, failed, attempt.retry)
    if outcome.ok:
        return outcome
    for other, after in _others(failure, ctx, attempt.rest):
        yield Note(target.id, "moved_on", f"{failure} at {target.deployment}")
        outcome = yield from use.steps(other, ctx, after)
        if outcome.ok:
            return outcome
    return failed


def _others(failure: str, ctx: Context, rest: Rest | None) -> Iterator[tuple[Use, Rest]]:
    """The targets that take over after this failure, each with those after it. Skips of a kind that answers
    by itself (`respond`, `cache`): a fresh answer is never put behind a begun one.
    """
    while rest is not None:
        if failure in rest.failures:
            found = [target for node in rest.nodes for target in targets(node, ctx)]
            for place, target in enumerate(found, 1):
                yield target, Rest(found[place:], rest.failures, rest.outer)
        rest = rest.outer
