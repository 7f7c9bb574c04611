"""Stage `built`: refuses what the language has and nothing executes yet, once for each place that uses it.

It walks the validated spec objects by the table of `engine/spec/built.py`. What is refused is not walked
into: an ensemble's members are not the fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import RootModel
from pydantic.fields import FieldInfo

from engine.compiler.document import Document, Path
from engine.compiler.shape import real_path
from engine.diagnostics import Diagnostics
from engine.spec.built import BUILT, INSTEAD, VALUES, LaterValue, later_secret
from engine.spec.model import Spec, called, fields
from engine.spec.nodes.node import EDGE_CHILD, NodeSpec
from engine.spec.settings import Settings
from engine.spec.workspace import RoutesFile

if TYPE_CHECKING:
    from engine.spec.case import CaseFile

_HELP = "remove it until it is built"


def check_built(spec: Spec | CaseFile, document: Document, out: Diagnostics) -> None:
    """One E090 for each field, kind and section of `spec` that does not execute yet."""
    if isinstance(spec, RootModel):
        if spec.root:
            place = document.key_span((0, "case"))
            out.add(
                "E090",
                "policy cases are not run yet",
                place,
                help="move the file out of cases/ until they are",
            )
        return
    _Walk(document, out).spec(spec, ())


def row_of(spec: type[Spec]) -> dict[str, str | None]:
    """The table's row of a class; files that hold part of a workspace share its row."""
    name = "Workspace" if issubclass(spec, RoutesFile) else spec.__name__
    return dict(BUILT[name])


def _name(spec: type[Spec]) -> str:
    return "Workspace" if issubclass(spec, RoutesFile) else spec.__name__


class _Walk:
    def __init__(self, document: Document, out: Diagnostics) -> None:
        self.document = document
        self.out = out

    def spec(self, spec: Spec, path: Path) -> None:
        kind, name = type(spec), _name(type(spec))
        row = row_of(kind)
        if isinstance(spec, NodeSpec) and row[spec.kind] is None:
            self.refuse((*path, spec.kind), f"`{spec.kind}`", INSTEAD.get((name, spec.kind)))
            return
        for key, (attribute, info) in fields(kind).items():
            value = getattr(spec, attribute)
            if not _used(spec, attribute, info, value):
                continue
            if key == EDGE_CHILD:
                self.value(value, path)
            elif row[key] is None:
                self.refuse((*path, key), _said(spec, key), INSTEAD.get((name, key)))
            elif not self.later_value(name, key, value, (*path, key)):
                self.value(value, (*path, key))

    def later_value(self, name: str, key: str, value: Any, path: Path) -> bool:
        """Refuse a value that is not built; True if it was."""
        rule = VALUES.get((name, key))
        if rule is None:
            return False
        items = (
            [(path, value)]
            if not isinstance(value, tuple)
            else [((*path, i), v) for i, v in enumerate(value)]
        )
        refused = [at for at, item in items if rule.later(item)]
        for at in refused:
            self.refuse_value(at, rule)
        return bool(refused)

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, Spec):
            self.spec(value, path)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.value(item, (*path, key))
        elif isinstance(value, tuple):
            for index, item in enumerate(value):
                self.value(item, (*path, index))
        elif rule := later_secret(value):
            self.refuse_value(path, rule)

    def refuse(self, path: Path, what: str, instead: str | None) -> None:
        place = self.document.key_span(real_path(self.document.data, path))
        self.out.add("E090", f"{what} is not built yet", place, help=instead or _HELP)

    def refuse_value(self, path: Path, rule: LaterValue) -> None:
        place = self.document.span(real_path(self.document.data, path))
        self.out.add("E090", f"{rule.what} is not built yet", place, help=rule.instead or _HELP)


def _used(spec: Spec, attribute: str, info: FieldInfo, value: Any) -> bool:
    """Whether the file says something with this field: not null, and not what holds anyway."""
    return (
        attribute in spec.model_fields_set
        and value is not None
        and (info.is_required() or value != info.default)
    )


def _said(spec: Spec, key: str) -> str:
    whole_file = isinstance(spec, RoutesFile | Settings)
    return f"`{key}`" if whole_file else f"`{key}` in {called(type(spec))}"
