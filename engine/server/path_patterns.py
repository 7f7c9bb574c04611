"""Paths of the sidecar with a `{name}` in them, like `/v1beta/models/{model}:generateContent`.

The name stands for any text that is not empty, slashes included: models are called `publisher/model`. A path
without one is looked up in a dict before any of these is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class PathPatterns(Generic[T]):
    """What stands behind paths; those with the longest end are tried first."""

    def __init__(self, paths: Mapping[str, T]) -> None:
        rows = []
        for path, value in paths.items():
            if "{" in path:
                before, _, rest = path.partition("{")
                name, _, after = rest.partition("}")
                rows.append((before, after, name, value))
        self._rows = sorted(rows, key=lambda row: (-len(row[1]), -len(row[0]), row[0]))

    def find(self, path: str) -> tuple[T, dict[str, str]] | None:
        """What stands behind `path`, and the text that its name stands for."""
        for before, after, name, value in self._rows:
            if path.startswith(before) and path.endswith(after):
                text = path[len(before) : len(path) - len(after)]
                if text and len(path) > len(before) + len(after):
                    return value, {name: text}
        return None
