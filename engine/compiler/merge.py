"""The files of a workspace as one document: `{section: {name: value}}`, every value with its own place.

`routes/` and `policies/` are added up: any file may hold any section, a name is defined once, and the order
of files never matters. Overlays patch the sum (`overlay`). What policies define is remembered, because
nothing else may patch it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from engine.compiler.document import Document, Path
from engine.compiler.load import Source
from engine.compiler.merged import MISSING, Merged, Tree, dotted, value_at
from engine.compiler.overlay import apply_overlays
from engine.diagnostics import Diagnostics, Related, Span

#: Sections that are the floor under every route, and so count only from policies/.
POLICY_SECTIONS: Final = ("require", "residency")
#: Maps of names that lie one level deeper than a section.
_INNER: Final = (("keys", "tags"), ("keys", "clients"), ("keys", "jwt"), ("keys", "mtls"))


@dataclass(frozen=True)
class Workspace:
    """The merged document, and the definitions that stand in policies/ (their paths)."""

    document: Merged
    protected: frozenset[Path] = field(default=frozenset())

    def in_policies(self, path: Path) -> bool:
        """True for a definition of policies/, or a value inside one."""
        return any(path[:end] in self.protected for end in range(1, len(path) + 1))


def merge(documents: Iterable[Document], out: Diagnostics) -> Workspace:
    """Add up routes/ and policies/ and apply the overlays among `documents`. Faults go to `out`."""
    found = sorted(documents, key=lambda d: d.source.path)
    tree = Tree(Source("routes", "routes", "", ""))
    protected: set[Path] = set()
    for document in found:
        if document.source.kind not in ("routes", "policies") or not isinstance(document.data, dict):
            continue
        tree.add_part(document)
        if document.source.kind == "policies":
            protected.update(definitions(document.data))
        else:
            _refuse_policy_sections(document, out)
        _add(tree, document, (), out)
    overlays = []
    for document in found:
        if document.source.kind == "overlay" and isinstance(document.data, dict):
            _refuse_policy_sections(document, out)
            kept = {key: value for key, value in document.data.items() if key not in POLICY_SECTIONS}
            overlays.append(dataclasses.replace(document, data=kept))
    apply_overlays(tree, overlays, frozenset(protected), is_container, out)
    return Workspace(tree.document(), frozenset(protected))


def is_container(path: Path, value: Any) -> bool:
    """True for a map of names that several files may add to; False for a definition."""
    if not isinstance(value, dict):
        return False
    return len(path) < 2 or path[0] == "defaults" or path in _INNER


def definitions(data: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of everything that is defined in a file."""
    value = value_at(data, path)
    if is_container(path, value):
        for key in value:
            yield from definitions(data, (*path, key))
    elif value is not None or len(path) > 1:
        yield path


def _add(tree: Tree, document: Document, path: Path, out: Diagnostics) -> None:
    value = value_at(document.data, path)
    here = tree.get(path)
    if value is None and len(path) == 1:
        return  # `nodes:` with nothing below it yet
    if is_container(path, value):
        if here is MISSING or path == ():
            tree.spans.setdefault(path, document.span(path))
            if path in document.key_spans:
                tree.key_spans.setdefault(path, document.key_spans[path])
            if path:
                tree.put(path, {}, document.span(path))
                tree.key_spans[path] = document.key_span(path)
        if isinstance(tree.get(path), dict):
            for key in value:
                _add(tree, document, (*path, key), out)
    elif here is MISSING or (len(path) == 1 and isinstance(here, dict)):
        # A section that is no map hides the others of its name: its shape is the fault to report.
        tree.graft(path, document, path)
    elif len(path) > 1:
        _duplicate(path, document.key_span(path), tree.place(path), out)


def _duplicate(path: Path, second: Span, first: Span, out: Diagnostics) -> None:
    out.add(
        "E201",
        f"`{dotted(path)}` is defined twice",
        second,
        help="keep one of them, or give one another name; a change for one environment goes to envs/NAME/",
        related=[Related("first defined here", first)],
    )


def _refuse_policy_sections(document: Document, out: Diagnostics) -> None:
    for section in POLICY_SECTIONS:
        if section in document.data:
            out.add(
                "E202",
                f"`{section}` counts only from policies/, not from {document.source.path}",
                document.key_span((section,)),
                help="move it to a file in policies/",
            )
