"""The merged workspace as lines: each written value, its path and the place it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from engine.compiler.document import Document, Path
from engine.compiler.merged import dotted
from engine.diagnostics import Span


class Leaf(NamedTuple):
    """One value."""

    path: str
    value: Any
    span: Span


def leaves(document: Document) -> list[Leaf]:
    """Every leaf of the document, keys sorted; an empty map or list is a leaf too."""
    return list(_below(document, document.data, ()))


def _below(document: Document, value: Any, path: Path) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _below(document, value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _below(document, item, (*path, index))
    else:
        yield Leaf(dotted(path), value, document.span(path))
