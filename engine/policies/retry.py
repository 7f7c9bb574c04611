"""May a failed call be repeated at the same target? The in-place rule of the language, and nothing else.

| class | repeated in place, where `retry.failures` has it |
|---|---|
| connect, server, cut | after a backoff |
| rate_limited | after the vendor's delay; after a backoff where it named none |
| overloaded | after the vendor's delay; without one, as for timeout |
| timeout | only if nobody else is left or the class is named itself |
| all others | never: the same call would fail the same way |
"""

from __future__ import annotations

from typing import Final, Literal

Verdict = Literal["leave", "backoff", "vendor"]

_AFTER_BACKOFF: Final = ("connect", "server", "cut")

#: Only these are ever repeated in place, by the group or by name.
IN_PLACE: Final = (*_AFTER_BACKOFF, "rate_limited")
#: These where nobody else is left, or `retry.failures` names the class itself.
IN_PLACE_IF_NAMED: Final = ("timeout", "overloaded")


def in_place(
    failure: str, *, listed: frozenset[str], named: tuple[str, ...], other_left: bool, vendor_delay: bool
) -> Verdict:
    """What to do at this target after a failure.

    Args:
        failure: its class.
        listed: the classes of `retry.failures`, groups spread out.
        named: those of them that the file names one by one.
        other_left: another target would be asked after this failure.
        vendor_delay: the vendor said when to come back.

    Returns:
        `leave`, or repeat after a `backoff` of ours or after the `vendor`'s delay.
    """
    if failure not in listed:
        return "leave"
    if failure in _AFTER_BACKOFF:
        return "backoff"
    if failure == "rate_limited":
        return "vendor" if vendor_delay else "backoff"
    if failure == "overloaded" and vendor_delay:
        return "vendor"
    if failure in IN_PLACE_IF_NAMED and (not other_left or failure in named):
        return "backoff"
    return "leave"
