"""One diagnostic code: what a fault is called, why it is one, what to do, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

_SEVERITY: dict[str, Severity] = {"E": "error", "W": "warning", "N": "note"}


@dataclass(frozen=True, slots=True)
class Code:
    """One row. `bad` and `good` are small `routes/` files (or whole workspaces as `{path: text}`)."""

    code: str
    slug: str
    why: str
    fix: str
    bad: str | dict[str, str] | None = None
    good: str | dict[str, str] | None = None
    since: str = "0.1.0"

    @property
    def severity(self) -> Severity:
        """How bad it is: the code's letter says it."""
        return _SEVERITY[self.code[0]]
