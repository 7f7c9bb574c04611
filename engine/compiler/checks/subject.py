"""What a check may look at: the workspace as written, as lowered, and the places of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from engine.compiler.document import Document, Path
from engine.compiler.merge import Workspace as MergedWorkspace
from engine.compiler.seal import Lowered, Reached, reached
from engine.compiler.vendors import Vendors
from engine.diagnostics import Diagnostics, Span
from engine.kinds.use import Use
from engine.plan.link import link
from engine.plan.types import Call, Node, Route
from engine.plan.values import Expr
from engine.spec.settings import Settings
from engine.spec.workspace import Workspace


@dataclass
class Subject:
    """Everything known before sealing. Checks read it and report to `out`; they change nothing."""

    spec: Workspace
    merged: MergedWorkspace
    settings: Settings
    settings_document: Document | None
    expressions: dict[Path, Expr]
    lowered: Lowered
    vendors: Vendors
    places: dict[str, Path]
    out: Diagnostics
    _linked: dict[str, Route] = field(default_factory=dict, repr=False)

    @property
    def document(self) -> Document:
        return self.merged.document

    @cached_property
    def used(self) -> Reached:
        """What the routes lead to."""
        return reached(self.lowered)

    def linked(self, name: str) -> Route:
        """The route with named nodes in place and every option inherited."""
        found = self._linked.get(name)
        if found is None:
            found = link(self.lowered.routes[name], self.lowered.nodes.__getitem__, lambda _: Call())
            self._linked[name] = found
        return found

    def place(self, node: Node) -> Span:
        """Where a node is written: for a target the name it uses."""
        path = self.places[node.id]
        return self.document.span((*path, "use") if isinstance(node, Use) else path)

    def setting_place(self, key: str) -> Span:
        """Where a setting of engine.yaml is written; the top of that file where it is not."""
        if self.settings_document is None:
            return Span("engine.yaml", 1, 1, 1, 1)
        return self.settings_document.span((key,))
