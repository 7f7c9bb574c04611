"""Finds stop sequences in streamed text: they may begin in one token and end in another.

Text is let through as soon as it cannot be the beginning of a stop sequence any more; the sequence itself and
what follows it are never shown.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """`feed` each piece, `flush` at the end. After a match nothing more comes out."""

    __slots__ = ("_held", "_stops", "matched")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.matched: str | None = None

    def feed(self, piece: str) -> str:
        """The text that is now certain to belong to the answer."""
        if not self._stops:
            return piece
        if self.matched is not None:
            return ""
        text = self._held + piece
        # the earliest match wins; of two that begin at one place, the longer
        found = min(((at, -len(s), s) for s in self._stops if (at := text.find(s)) >= 0), default=None)
        if found is not None:
            self.matched, self._held = found[2], ""
            return text[: found[0]]
        keep = max(_overlap(text, stop) for stop in self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back when the answer ends without a match."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper beginning of `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
