"""May a failed call be repeated at the same target? The in-place rule of the language, and nothing else.

| class | repeated in place, where `retry.failures` has it |
|---|---|
| any that is about a credential, and another could be shown | at once, whatever `retry.failures` has |
| any where the vendor says not to (`x-should-retry: false`) | never |
| any after which the vendor wants more than two minutes | never |
| any after which it wants more than ten seconds | only if nobody else is left or the class is named itself |
| any where the vendor says to (`x-should-retry: true`) | after the vendor's delay, else after a backoff |
| connect, server, cut | after a backoff |
| rate_limited | after the vendor's delay; after a backoff where it named none |
| overloaded | after the vendor's delay; without one, as for timeout |
| timeout | only if nobody else is left or the class is named itself |
| all others | never: the same call would fail the same way |
"""

from __future__ import annotations

from typing import Final, Literal

Verdict = Literal["leave", "backoff", "vendor", "rotate"]

#: Nobody waits longer than this for a vendor (OpenAI's own clients wait for one minute at most).
LONGEST_DELAY_MS: Final = 120_000

#: ... nor longer than this while somebody else could answer at once.
LONGEST_BESIDE_OTHERS_MS: Final = 10_000

_AFTER_BACKOFF: Final = ("connect", "server", "cut")

#: Only these are ever repeated in place, by the group or by name.
IN_PLACE: Final = (*_AFTER_BACKOFF, "rate_limited")
#: These where nobody else is left, or `retry.failures` names the class itself.
IN_PLACE_IF_NAMED: Final = ("timeout", "overloaded")


def in_place(
    failure: str,
    *,
    listed: frozenset[str],
    named: tuple[str, ...],
    other_left: bool,
    delay_ms: int | None = None,
    should_retry: bool | None = None,
    rotates: bool = False,
) -> Verdict:
    """What to do at this target after a failure.

    Args:
        failure: its class.
        listed: the classes of `retry.failures`, groups spread out.
        named: those of them that the file names one by one.
        other_left: another target would be asked after this failure.
        delay_ms: when the vendor said to come back.
        should_retry: whether the vendor said that it is worth repeating.
        rotates: another credential could be shown at once.

    Returns:
        `leave`, or repeat: after a `backoff` of ours, after the `vendor`'s delay, or at once with another
        credential (`rotate`).
    """
    if rotates:
        return "rotate"
    patient = not other_left or failure in named
    longest = LONGEST_DELAY_MS if patient else LONGEST_BESIDE_OTHERS_MS
    if failure not in listed or should_retry is False or (delay_ms or 0) > longest:
        return "leave"
    if should_retry:
        return "backoff" if delay_ms is None else "vendor"
    if failure in _AFTER_BACKOFF:
        return "backoff"
    if failure == "rate_limited":
        return "vendor" if delay_ms is not None else "backoff"
    if failure == "overloaded" and delay_ms is not None:
        return "vendor"
    if failure in IN_PLACE_IF_NAMED and patient:
        return "backoff"
    return "leave"
