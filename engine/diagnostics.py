"""What the compiler has to say, as values: a place, a code, a message, what to do.

A diagnostic is data. Raising is for bugs in the engine; a fault in a user's file becomes a
`Diagnostic` in a `Diagnostics` collector, and `engine/compiler/render/` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.codes import CODES, Severity

#: More than this and the first fault has drowned: the rest is counted, not printed.
CAP = 200

_RANK = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a source file. Lines and columns count from 1; the end is exclusive.

    `file` is the path as the user would type it: relative to the workspace.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that a diagnostic speaks of, and what is there."""

    message: str
    span: Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `help` says what to do; `related` shows the other places involved."""

    code: str
    message: str
    span: Span | None = None
    help: str | None = None
    related: tuple[Related, ...] = ()

    @property
    def severity(self) -> Severity:
        return CODES[self.code].severity

    @property
    def slug(self) -> str:
        return CODES[self.code].slug

    def __str__(self) -> str:
        place = f"{self.span}: " if self.span else ""
        return f"{place}{self.severity}[{self.code}]: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of the contract."""
        span = self.span
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "file": span.file if span else None,
            "line": span.line if span else None,
            "column": span.column if span else None,
            "end_line": span.end_line if span else None,
            "end_column": span.end_column if span else None,
            "help": self.help,
            "docs": f"engine explain {self.code}",
            "related": [
                {
                    "message": r.message,
                    "file": r.span.file,
                    "line": r.span.line,
                    "column": r.span.column,
                    "end_line": r.span.end_line,
                    "end_column": r.span.end_column,
                }
                for r in self.related
            ],
        }


def _order(d: Diagnostic) -> tuple[Any, ...]:
    span = d.span
    place = (span.file, span.line, span.column) if span else ("", 0, 0)
    return (*place, _RANK[d.severity], d.code, d.message)


@dataclass(slots=True)
class Diagnostics:
    """Collects findings while a workspace is compiled. Equal findings count once."""

    _found: dict[Diagnostic, None] = field(default_factory=dict)

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        help: str | None = None,
        related: Iterable[Related] = (),
    ) -> None:
        """Record one finding; `code` must stand in `engine/codes/`."""
        if code not in CODES:
            raise KeyError(f"diagnostic code {code} is not in engine/codes/")
        self._found[Diagnostic(code, message, span, help, tuple(related))] = None

    def extend(self, other: Iterable[Diagnostic]) -> None:
        for d in other:
            self._found[d] = None

    @property
    def failed(self) -> bool:
        """True as soon as one finding is an error: later stages do not run then."""
        return any(d.severity == "error" for d in self._found)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """All findings by place, at most `CAP` of them, errors first where the cap cuts."""
        found = sorted(self._found, key=_order)
        if len(found) > CAP:
            found = sorted(sorted(found, key=lambda d: _RANK[d.severity])[:CAP], key=_order)
        return tuple(found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.sorted())

    def __len__(self) -> int:
        return len(self._found)
