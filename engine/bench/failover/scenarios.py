"""The sixteen scenarios: what breaks, and what counts as coming through it.

A judge gets all that was observed and gives the reason why the scenario is not passed, or None. Seconds in it
are those of a full run; `Observed` stretches what a quicker run measured back to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.bench.failover.client import Call

#: How many calls S15 makes, how far apart, and how long its primary is down.
OUTAGE_CALLS: Final = 20
OUTAGE_EVERY_S: Final = 4.0
OUTAGE_S: Final = 60.0


@dataclass(slots=True)
class Observed:
    """What one scenario brought, in the seconds of a full run.

    calls: those of the scenario; their `began` counts from its start. primary, fallback: when each was asked,
    likewise. fallback_names: ours and the vendor's own name of its model. after: a healthy call right behind.
    alive: the gateway still answers. records: the gateway's decision records of the calls.
    """

    calls: list[Call]
    primary: list[float]
    fallback: list[float]
    fallback_names: tuple[str, ...]
    after: Call | None = None
    alive: bool = True
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def call(self) -> Call:
        return self.calls[0]

    def attempts(self, within: float | None = None) -> int:
        """Attempts at both, of the first so many seconds after the first of them."""
        times = sorted(self.primary + self.fallback)
        return sum(within is None or at - times[0] <= within for at in times)


Judge = Callable[[Observed], str | None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row. primary, fallback: scripts of the fault provider.

    prefill: who of the two can go on from a text that was begun: a fact of the models, no setting.
    """

    id: str
    what: str
    primary: str
    judge: Judge  # its docstring is what passing means
    fallback: str = "ok"
    prefill: tuple[str, ...] = ("primary", "fallback")


def _whole(seen: Observed) -> str | None:
    """The whole, exact text, cleanly ended; never a cut answer as success."""
    return seen.call.not_whole()


def _asked(count: int, most: int, of: str) -> str | None:
    return f"{count} attempts at {of}, allowed {most}" if count > most else None


def _s01(seen: Observed) -> str | None:
    """Answered; the second attempt at the primary >= 1.8 s after its first; <= 2 attempts in 1.5 s."""
    if (why := _whole(seen)) is not None:
        return why
    if len(seen.primary) < 2:
        return "the primary was not asked again"
    if (gap := seen.primary[1] - seen.primary[0]) < 1.8:
        return f"the primary was asked again after {gap:.2f} s, it said 2"
    return _asked(seen.attempts(1.5), 2, "all in the first 1.5 s")


def _s02(seen: Observed) -> str | None:
    """The fallback answers; <= 4 attempts in 3 s, <= 6 in all."""
    if not seen.fallback:
        return "the fallback was not asked"
    many = _asked(seen.attempts(3), 4, "all in 3 s") or _asked(seen.attempts(), 6, "all")
    return _whole(seen) or many


def _s03(seen: Observed) -> str | None:
    """Retried on the same provider (>= 2 attempts there) and answered."""
    return _whole(seen) or ("the primary was not asked again" if len(seen.primary) < 2 else None)


def _s04(seen: Observed) -> str | None:
    """The fallback answers; <= 6 attempts."""
    return _whole(seen) or _by_fallback(seen) or _asked(seen.attempts(), 6, "all")


def _by_fallback(seen: Observed) -> str | None:
    return None if seen.fallback else "the fallback was not asked"


def _s06(seen: Observed) -> str | None:
    """Ended within 100 s with an answer; exactly one attempt at the silent primary."""
    if seen.call.seconds > 100:
        return f"took {seen.call.seconds:.0f} s, allowed 100"
    if len(seen.primary) != 1:
        return f"{len(seen.primary)} attempts at the silent primary, expected 1"
    return _whole(seen)


def _s07(seen: Observed) -> str | None:
    """The fallback answers within 15 s."""
    if seen.call.seconds > 15:
        return f"took {seen.call.seconds:.1f} s, allowed 15"
    return _whole(seen)


def _s09(seen: Observed) -> str | None:
    """The whole text within 45 s; a healthy call right after works."""
    if seen.call.seconds > 45:
        return f"took {seen.call.seconds:.0f} s, allowed 45"
    assert seen.after is not None
    after = seen.after.not_whole()
    return _whole(seen) or (f"the healthy call right after: {after}" if after else None)


def _s10(seen: Observed) -> str | None:
    """The whole text, nothing altered; the process lives."""
    return _whole(seen) or (None if seen.alive else "the gateway does not answer any more")


def _s11(seen: Observed) -> str | None:
    """Finished within 8 s, with usage."""
    if seen.call.seconds > 8:
        return f"took {seen.call.seconds:.1f} s, allowed 8"
    return _whole(seen) or _usage(seen.call)


def _usage(call: Call) -> str | None:
    counts = call.usage or {}
    written = counts.get("completion_tokens", counts.get("output_tokens"))
    return None if written else "no usage came"


def _s12(seen: Observed) -> str | None:
    """Exactly one attempt at the primary; the fallback answers."""
    if len(seen.primary) != 1:
        return f"{len(seen.primary)} attempts at the primary, expected 1"
    return _whole(seen) or _by_fallback(seen)


def _s13(seen: Observed) -> str | None:
    """Exactly one attempt in all; the provider's reason comes as a clean error of the client's format."""
    if (len(seen.primary), len(seen.fallback)) != (1, 0):
        return f"{len(seen.primary)} attempts at the primary and {len(seen.fallback)} at the fallback"
    call = seen.call
    if call.broken is not None:
        return call.broken
    if call.error is None:
        return "no error came"
    if call.text:
        return "text came before the error"
    if not 400 <= call.status < 500:
        return f"status {call.status} for what the request is refused for"
    told = call.error.get("error")
    words = f"{told.get('code')} {told.get('message')}" if isinstance(told, dict) else ""
    return (
        None if "content_policy_violation" in words else f"the provider's reason is not in it: {words[:100]}"
    )


def _s14(seen: Observed) -> str | None:
    """The whole text; the caller never sees the fallback's refusal of a prefill."""
    if seen.call.error is not None and "prefill" in str(seen.call.error):
        return "the caller was shown the fallback's refusal of the prefill"
    return _whole(seen)


def _s15(seen: Observed) -> str | None:
    """All answered; <= 1 primary attempt a request while down; used again within 30 s of recovery."""
    for number, call in enumerate(seen.calls, 1):
        if (why := call.not_whole()) is not None:
            return f"call {number}: {why}"
    if len(seen.calls) < OUTAGE_CALLS:
        return f"{len(seen.calls)} calls were made of {OUTAGE_CALLS}"
    begins = [call.began for call in seen.calls]
    up = seen.primary[0] + OUTAGE_S
    for number, (began, end) in enumerate(zip(begins, [*begins[1:], float("inf")], strict=True), 1):
        asked = sum(began <= at < min(end, up) for at in seen.primary)
        if asked > 1:
            return f"call {number} made {asked} attempts at the primary while it was down"
    back = [at for at in seen.primary if at >= up]
    if not back:
        return "the primary was not used again"
    return (
        None if back[0] <= up + 30 else f"the primary was used again {back[0] - up:.0f} s after it was well"
    )


def _s16(seen: Observed) -> str | None:
    """`model` names the fallback; usage is there; failed attempts cost nothing."""
    call = seen.call
    if (why := _whole(seen) or _usage(call)) is not None:
        return why
    if call.model not in seen.fallback_names:
        return f"model is {call.model!r}, the fallback is {seen.fallback_names[0]!r}"
    if len(seen.records) != 1:
        return f"{len(seen.records)} decision records of one request"
    attempts = seen.records[0]["attempts"]
    failed = [row for row in attempts if row["failure"] is not None]
    if not failed:
        return "the record tells of no failed attempt"
    billed = [row for row in failed if row["cost"]["total"] != 0]
    if billed:
        return "a failed attempt was billed"
    return None if sum(row["cost"]["total"] for row in attempts) > 0 else "the answer cost nothing"


SCENARIOS: Final = (
    Scenario("S01", "429 with Retry-After: 2, once", "429-2s,ok", _s01),
    Scenario("S02", "429 without a header, always", "429", _s02),
    Scenario("S03", "500 once", "500,ok", _s03),
    Scenario("S04", "503 always", "503", _s04),
    Scenario("S05", "reset before any byte, once", "reset,ok", _whole),
    Scenario("S06", "accepts, never answers", "silent", _s06),
    Scenario("S07", "headers at once, first token after 20 s", "first-token-20s", _s07),
    Scenario("S08", "dies after 40 of 60 tokens", "cut-40", _whole, prefill=("fallback",)),
    Scenario("S09", "20 tokens, then silence for 30 s", "stall-20", _s09),
    Scenario("S10", "the tenth event is invalid JSON", "bad-event", _s10),
    Scenario("S11", "complete, but no [DONE]", "no-done", _s11),
    Scenario("S12", "400 context_length_exceeded", "400-context", _s12),
    Scenario("S13", "400 content_policy_violation", "400-policy", _s13),
    Scenario("S14", "as S08, the fallback refuses a prefill", "cut-40", _s14, "ok-no-prefill", ("primary",)),
    Scenario("S15", "503 for 60 s, then well; 20 calls 4 s apart", "down-60s", _s15),
    Scenario("S16", "503 always: model, usage and bill", "503", _s16),
)
