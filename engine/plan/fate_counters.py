"""What becomes of counts of budgets and limits when one plan replaces another.

Counts hang on names. Those of a budget or limit

- survive where name, unit, window and `per` are the same: a changed amount keeps what is counted;
- move where `was:` names the old one, and all of that is the same;
- reset where the name is the same and unit, window or `per` another: what was counted is of something else;
- begin and end with names that come and go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.plan.codec import canonical
from engine.plan.fate_names import Names
from engine.plan.money import Budget, Limit, MoneySegment, Window
from engine.plan.values import Expr
from engine.units import show_duration

_UNITS: Final = {"cost": "dollars", "tokens": "tokens"}


def counters(old: MoneySegment, new: MoneySegment, budgets: Names, limits: Names) -> None:
    """Fill in what becomes of the counts under `old` when `new` replaces it."""
    _each(old.budgets, new.budgets, budgets)
    _each(old.limits, new.limits, limits)


def _each(old: Mapping[str, Budget | Limit], new: Mapping[str, Budget | Limit], names: Names) -> None:
    for name, now in sorted(new.items()):
        before, was = old.get(name), getattr(now, "was", None)
        if before is not None:
            why = changed(before, now)
            if why is None:
                names.survive += 1
            else:
                names.resets.append(name)
                names.why[name] = why
            continue
        former = old.get(was) if was is not None and was not in new else None
        if former is None:
            names.begins.append(name)
        elif (why := changed(former, now)) is None:
            names.moves[name] = former.name
        else:
            names.begins.append(name)
            names.why[name] = f"nothing comes over from {was}: {why}"
    moved = set(names.moves.values())
    names.ends = [name for name in sorted(old) if name not in new and name not in moved]


def changed(old: Budget | Limit, new: Budget | Limit) -> str | None:
    """What makes the one count something else than the other; None: nothing does."""
    parts = [*_own(old, new), _per(old.per, new.per)]
    told = [f"{what} {before} -> {after}" for what, before, after in parts if before != after]
    return ", ".join(told) or None


def _own(old: Budget | Limit, new: Budget | Limit) -> list[tuple[str, str, str]]:
    """Unit and window of a budget; of a limit, how its amounts flow back."""
    if isinstance(old, Budget):
        assert isinstance(new, Budget)
        return [
            ("unit", _UNITS[old.measure], _UNITS[new.measure]),
            ("window", show_window(old.window), show_window(new.window)),
        ]
    assert isinstance(new, Limit)
    rates = ((old.requests, new.requests), (old.tokens, new.tokens))
    return [("count", a.shape, b.shape) for a, b in rates if a is not None and b is not None]


def _per(old: Expr | None, new: Expr | None) -> tuple[str, str, str]:
    if (old is None) == (new is None) and (old is None or new is None or meaning(old) == meaning(new)):
        return "per", "", ""
    return "per", "nothing" if old is None else old.source, "nothing" if new is None else new.source


def meaning(expr: Expr) -> bytes:
    """What an expression does, however it is written."""
    return canonical(expr.ir)


def show_window(window: Window) -> str:
    """`month`, `every 6h`, `rolling 1d`."""
    return window.kind if window.ms is None else f"{window.kind} {show_duration(window.ms)}"
