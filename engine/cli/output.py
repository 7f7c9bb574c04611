"""What every command prints with: results to stdout, messages to stderr, colour only on a terminal.

A command's result is text or JSON and goes to stdout (`write`, `write_json`); what is said beside it
(`message`, `ProgressBar`) goes to stderr, so that a pipe holds the result and nothing else. Colour
needs a terminal and an environment without `NO_COLOR` (https://no-color.org).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TextIO

Colour = Literal["red", "green", "yellow", "blue", "magenta", "cyan", "bold", "dim"]

_ANSI: dict[str, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


class CommandFailed(Exception):
    """The command itself cannot do its work: printed as one line plus what to do, exit code 2."""

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


def is_terminal(stream: TextIO) -> bool:
    """True where a person reads `stream` directly. A closed or replaced stream is no terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def colour_on(stream: TextIO) -> bool:
    """Whether `stream` takes colour: a terminal that is not dumb, and `NO_COLOR` unset or empty."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, *colours: Colour, stream: TextIO | None = None) -> str:
    """`text` in colour where `stream` (default stdout) takes it, else `text` as it is."""
    if not colours or not colour_on(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(_ANSI[c] for c in colours)}m{text}\x1b[0m"


def write(text: str = "") -> None:
    """A line (or several) of the result, to stdout."""
    print(text)


def write_json(value: Any) -> None:
    """The result as indented JSON, to stdout. Keys keep their order: they are part of the contract."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def message(text: str) -> None:
    """Something said beside the result, to stderr."""
    print(text, file=sys.stderr)


def table(rows: Iterable[Sequence[str]], *, headers: Sequence[str] = ()) -> str:
    """Columns as wide as their widest cell, two blanks apart; no trailing blanks. Empty without rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    lines = [list(headers), *body] if headers else body
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    if headers:
        shown[0] = paint(shown[0], "bold")
    return "\n".join(shown)


def size(count: int) -> str:
    """A number of bytes for people: `148.3 MiB`."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


class ProgressBar:
    """One line on stderr that fills up; silent where stderr is no terminal and for work under half a second.

        with ProgressBar("convert") as bar:
            bar.update(done, total)

    `update` may be called from another thread: it only writes. A new `label` renames the bar. A `total` of
    zero or `None` means unknown: then only `done` is shown. `unit="B"` prints sizes, else plain numbers.
    """

    WIDTH = 28
    DELAY = 0.5
    EVERY = 0.1

    def __init__(self, label: str, *, unit: str = "B", stream: TextIO | None = None) -> None:
        self.label = label
        self.unit = unit
        self._stream = stream or sys.stderr
        self._live = is_terminal(self._stream)
        self._next = time.monotonic() + self.DELAY
        self._drawn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, done: int, total: int | None = None, *, label: str | None = None) -> None:
        """Show that `done` of `total` is done. Cheap: draws ten times a second at most."""
        if label is not None:
            self.label = label
        now = time.monotonic()
        if not self._live or now < self._next:
            return
        self._next = now + self.EVERY
        line = self._line(done, total)
        # A shorter line leaves the tail of the longer one before it: cover that with blanks.
        self._stream.write("\r" + line.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(line)

    def close(self) -> None:
        """Wipe the line, so that what is printed next stands alone."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._stream.flush()
            self._drawn = 0

    def _line(self, done: int, total: int | None) -> str:
        shown = size(done) if self.unit == "B" else str(done)
        if not total:
            return f"{self.label}  {shown}"
        share = min(1.0, done / total)
        full = round(share * self.WIDTH)
        whole = size(total) if self.unit == "B" else str(total)
        return f"{self.label}  [{'#' * full}{'.' * (self.WIDTH - full)}] {share:4.0%}  {shown} of {whole}"
