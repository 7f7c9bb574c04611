"""How many diagnostics there are, by severity, and how many were found beyond those shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

from engine.codes import Severity
from engine.diagnostics import Diagnostic

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


def counted(diagnostics: Iterable[Diagnostic]) -> tuple[list[Diagnostic], int]:
    """The diagnostics as a list, and how many more a capped collector holds."""
    found = list(diagnostics)
    total = len(diagnostics) if isinstance(diagnostics, Sized) else len(found)
    return found, max(0, total - len(found))


def tally(found: Sequence[Diagnostic]) -> dict[Severity, int]:
    """Severity -> number."""
    return {severity: sum(d.severity == severity for d in found) for severity in _ORDER}


def summary(found: Sequence[Diagnostic], beyond: int) -> str:
    """`2 errors, 1 warning`; with `; 13 more not shown` where the collector was capped."""
    parts = [f"{n} {severity}{'s' * (n > 1)}" for severity, n in tally(found).items() if n]
    more = f"; {beyond} more not shown" if beyond else ""
    return ", ".join(parts) + more
