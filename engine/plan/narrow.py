"""Two of a kind as one that is within both: what is allowed by both, the lower ceiling."""

from __future__ import annotations

from engine.plan.types import Admit, Ceilings


def admit(a: Admit, b: Admit) -> Admit:
    """What both let in."""
    return Admit(
        input=_least(a.input, b.input),
        output=_least(a.output, b.output),
        n=min(a.n, b.n),
        images=_least(a.images, b.images),
        audio=_least(a.audio, b.audio),
        files=_least(a.files, b.files),
        tools=_both(a.tools, b.tools),
        json_schema=_both(a.json_schema, b.json_schema),
        hosted_tools=within(a.hosted_tools, b.hosted_tools),
    )


def ceilings(a: Ceilings, b: Ceilings) -> Ceilings:
    """The lower of each."""
    return Ceilings(_least(a.calls, b.calls), _least(a.time_ms, b.time_ms), _least(a.cost, b.cost))


def within(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What stands in both lists, in the order of the first; None is a list of everything."""
    if a is None or b is None:
        return b if a is None else a
    return tuple(each for each in a if each in b)


def _least(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _both(a: bool | None, b: bool | None) -> bool | None:
    """False where one says no."""
    if a is None or b is None:
        return b if a is None else a
    return a and b
