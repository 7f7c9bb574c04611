"""Several documents as one: `Tree` is built value by value, `Merged` is what comes out.

Each value keeps the place of the file it was written in, so that a diagnostic on a merged workspace, and
`engine plan --effective`, name that file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.compiler.document import Document, Path
from engine.compiler.load import Source
from engine.diagnostics import Span

#: Stands for "no such value": None is a value (`null`).
MISSING = object()


@dataclass(frozen=True)
class Merged(Document):
    """A document whose values come from several files; texts are quoted from the file a span names."""

    parts: dict[str, Document] = field(repr=False, default_factory=dict)

    def text(self, span: Span) -> str:
        part = self.parts.get(span.file)
        return part.text(span) if part is not None else ""

    def line(self, span: Span) -> str:
        part = self.parts.get(span.file)
        return part.line(span) if part is not None else ""


class Tree:
    """A document under construction. Paths are those of the result."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data: Any = {}
        self.spans: dict[Path, Span] = {}
        self.key_spans: dict[Path, Span] = {}
        self.quoted: set[Path] = set()
        self.parts: dict[str, Document] = {}

    def document(self) -> Merged:
        """The finished document."""
        return Merged(
            self.source, self.data, self.spans, self.key_spans, frozenset(self.quoted), parts=self.parts
        )

    def add_part(self, document: Document) -> None:
        """Make known a document that values are taken from."""
        self.parts[document.source.path] = document
        if isinstance(document, Merged):
            self.parts.update(document.parts)

    def get(self, path: Path) -> Any:
        """The value at `path`, or MISSING."""
        return value_at(self.data, path)

    def place(self, path: Path) -> Span:
        """Where the key of `path`, or else its value, is written."""
        for end in range(len(path), -1, -1):
            found = self.key_spans.get(path[:end]) or self.spans.get(path[:end])
            if found is not None:
                return found
        return Span(self.source.path, 1, 1, 1, 1)

    def graft(self, path: Path, document: Document, origin: Path) -> None:
        """Put the value at `origin` of `document` here, with its places, over what is here."""
        self.prune(path)
        value = self._copy(value_at(document.data, origin), path, document, origin)
        self._set(path, value)

    def put(self, path: Path, value: Any, span: Span) -> None:
        """Put a plain scalar or an empty map here."""
        self.prune(path)
        self.spans[path] = span
        self._set(path, value)

    def prune(self, path: Path) -> None:
        """Remove the value at `path`, if there is one, and what is inside it."""
        value = self.get(path)
        if value is MISSING:
            return
        self._forget(value, path)
        if path:
            parent = self.get(path[:-1])
            del parent[path[-1]]

    def _set(self, path: Path, value: Any) -> None:
        if not path:
            self.data = value
            return
        parent = self.get(path[:-1])
        parent[path[-1]] = value

    def _copy(self, value: Any, path: Path, document: Document, origin: Path) -> Any:
        span = document.spans.get(origin)
        if span is not None:
            self.spans[path] = span
        key_span = document.key_spans.get(origin)
        if key_span is not None:
            self.key_spans[path] = key_span
        if document.quoted(origin):
            self.quoted.add(path)
        if isinstance(value, dict):
            return {
                key: self._copy(item, (*path, key), document, (*origin, key)) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._copy(item, (*path, i), document, (*origin, i)) for i, item in enumerate(value)]
        return value

    def _forget(self, value: Any, path: Path) -> None:
        self.spans.pop(path, None)
        self.key_spans.pop(path, None)
        self.quoted.discard(path)
        if isinstance(value, dict):
            for key, item in value.items():
                self._forget(item, (*path, key))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                self._forget(item, (*path, i))


def value_at(data: Any, path: Path) -> Any:
    """The value at `path` of plain data, or MISSING."""
    for key in path:
        inside = key in data if isinstance(data, dict) else isinstance(data, list) and key in range(len(data))
        if not inside:
            return MISSING
        data = data[key]
    return data


def dotted(path: Path) -> str:
    """A path as people write it: `routes.assistant.start.switch[0]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text
