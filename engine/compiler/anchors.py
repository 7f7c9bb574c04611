"""Anchors and aliases of one file: defined under `x-*` keys, used anywhere, copied within limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.compiler.places import Path, Places
from engine.diagnostics import Diagnostics, Related, Span


@dataclass(slots=True)
class _Anchor:
    """A value under a name. `nodes` is how many values it holds, itself included; None while it is read."""

    span: Span
    path: Path = ()
    value: Any = None
    nodes: int | None = None
    used: bool = False


class Anchors:
    """The anchors seen so far. Faults go to `out`."""

    def __init__(self, places: Places, out: Diagnostics) -> None:
        self._places = places
        self._out = out
        self._known: dict[str, _Anchor] = {}

    def begin(self, name: str, path: Path, span: Span) -> None:
        """An anchor before the value at `path`, which is read next."""
        here = Span(span.file, span.line, span.column, span.line, span.column + len(name) + 1)
        if not (path and isinstance(path[0], str) and path[0].startswith("x-")):
            advice = f"define it under a top-level key that begins with x-, and write *{name} here"
            self._out.add("E019", f"the anchor `&{name}` is not under an x- key", here, help=advice)
        first = self._known.get(name)
        if first is not None:
            related = [Related("first defined here", first.span)]
            advice = "give one of them another name"
            self._out.add(
                "E027", f"the anchor `&{name}` is defined twice", here, help=advice, related=related
            )
        self._known[name] = _Anchor(here)

    def end(self, name: str, path: Path, value: Any, nodes: int) -> None:
        """The anchor's value has been read."""
        anchor = self._known[name]
        anchor.path, anchor.value, anchor.nodes = path, value, nodes

    def replay(self, name: str, path: Path, span: Span, depth: int, limit: Callable[[int, int], None]) -> Any:
        """The value of `*name` at `path`: a copy, so that nobody changes two places at once.

        `limit(nodes, depth)` is told what the copy adds before it is made. Places inside the copy are those
        of the definition: that is the text to change.
        """
        self._places.spans[path] = span
        anchor = self._known.get(name)
        if anchor is None:
            known = ", ".join(f"&{other}" for other in self._known) or "none"
            advice = f"defined above it: {known}; a text that begins with * needs quotes"
            self._out.add("E020", f"the alias `*{name}` has no anchor", span, help=advice)
            return None
        if anchor.nodes is None:
            related = [Related("the anchor", anchor.span)]
            advice = "a value cannot contain itself"
            message = f"the alias `*{name}` stands inside its own anchor"
            self._out.add("E020", message, span, help=advice, related=related)
            return None
        anchor.used = True
        limit(anchor.nodes - 1, depth + _height(anchor.value) - 1)
        if anchor.path in self._places.quoted:
            self._places.quoted.add(path)
        return self._copy(anchor.value, anchor.path, path)

    def finish(self) -> None:
        """Warn of anchors that nothing used."""
        for name, anchor in self._known.items():
            if not anchor.used and anchor.nodes is not None:
                advice = f"write *{name} where its value belongs, or remove it"
                self._out.add("W003", f"the anchor `&{name}` is never used", anchor.span, help=advice)

    def _copy(self, value: Any, old: Path, new: Path) -> Any:
        if isinstance(value, dict):
            return {key: self._copy_child(value[key], (*old, key), (*new, key)) for key in value}
        if isinstance(value, list):
            return [self._copy_child(item, (*old, i), (*new, i)) for i, item in enumerate(value)]
        return value

    def _copy_child(self, value: Any, old: Path, new: Path) -> Any:
        self._places.copy(old, new)
        if old in self._places.quoted:
            self._places.quoted.add(new)
        return self._copy(value, old, new)


def _height(value: Any) -> int:
    """Levels of lists and maps in a value: 1 for a list of scalars, 0 for a scalar."""
    if isinstance(value, dict):
        return 1 + max(map(_height, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_height, value), default=0)
    return 0
