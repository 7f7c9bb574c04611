"""The pages of the language: every section, field and type (`language.md`), every node kind (`kinds.md`).

All of it comes from the spec classes: a field's description is its documentation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, cast

from pydantic import TypeAdapter
from typing_extensions import TypeAliasType

from engine.docs.type_words import field_words, named_types, spec_classes
from engine.spec.built import BUILT, VALUES
from engine.spec.call import CallOptions
from engine.spec.case import Case
from engine.spec.dialect import DialectSpec
from engine.spec.model import Spec, fields
from engine.spec.nodes.node import EDGE_CHILD
from engine.spec.nodes.table import SPECS
from engine.spec.provider import ProviderSpec
from engine.spec.settings import Settings
from engine.spec.workspace import RoutesFile, Workspace

#: Kind of file -> (heading, class). The order of the page.
_FILES: Final[tuple[tuple[str, type[Spec]], ...]] = (
    ("routes/*.yaml, policies/*.yaml", Workspace),
    ("engine.yaml", Settings),
    ("cases/*.yaml", Case),
    ("providers.d/*.yaml", ProviderSpec),
    ("providers.d/dialects/*.yaml", DialectSpec),
)

_CALL_KEYS: Final = ", ".join(f"`{key}`" for key in fields(CallOptions))


def language_page() -> str:
    """Every section and field of every kind of file, then every type of value."""
    about = (
        "Every field that a workspace's files may hold. *Executes*: since which release; *later*: it is "
        "read and checked, and `engine validate` refuses it with E090 until it is built."
    )
    lines = ["# The language: reference", "", about]
    told: set[type[Spec]] = set()
    types: dict[str, TypeAliasType] = {}
    for heading, root in _FILES:
        lines += ["", f"## {heading}"]
        for spec in _reached(root, told):
            lines += ["", f"### {spec.__name__}", "", *_class(spec)]
            types |= _types(spec)
    for kind in SPECS.values():
        for spec in (kind, *_parts(kind, told)):
            types |= _types(spec)
    lines += ["", "## Values", ""]
    for name in sorted(types):
        lines += [f"### {name}", "", *_type(types[name]), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def kinds_page() -> str:
    """Every node kind."""
    about = (
        "A node is a name (short for `use: NAME`) or a map with one kind key; everything else on the map "
        "is a sibling. Children are nodes themselves. Below every kind but `reject` and `respond` calls "
        "are made: these also take "
        f"{_CALL_KEYS}, as [defaults](language.md#defaults) do; the nearest wins, leaf by leaf."
    )
    lines = ["# Node kinds", "", about, "", "| kind | | executes |", "| --- | --- | --- |"]
    for kind, spec in SPECS.items():
        lines.append(f"| [{kind}](#{kind}) | {_summary(spec)} | {_since(spec, kind)} |")
    told: set[type[Spec]] = set()
    for kind, spec in SPECS.items():
        lines += ["", f"## {kind}", "", *_class(spec, without=fields(CallOptions).keys())]
        lines += ["", "```yaml", spec.example, "```"]
        for part in _parts(spec, told):
            lines += ["", f"### {part.__name__}", "", *_class(part)]
    return "\n".join(lines) + "\n"


def _reached(root: type[Spec], told: set[type[Spec]]) -> Iterator[type[Spec]]:
    """A class and those its fields speak of, each once over the whole page."""
    if root in told:
        return
    told.add(root)
    root.model_rebuild()  # what it names before that is there has no type until somebody uses the class
    yield root
    for _, info in fields(root).values():
        for spec in spec_classes(info.annotation):
            yield from _reached(spec, told)


def _parts(spec: type[Spec], told: set[type[Spec]]) -> Iterator[type[Spec]]:
    """The classes that only nodes use: arms, members, scores."""
    for key, (_, info) in fields(spec).items():
        if key in fields(CallOptions):
            continue
        for part in spec_classes(info.annotation):
            if part not in told:
                told.add(part)
                yield part
                yield from _parts(part, told)


def _class(spec: type[Spec], without: Collection[str] = ()) -> list[str]:
    lines = [_summary(spec), "", "| key | type | default | executes | |", "| --- | --- | --- | --- | --- |"]
    for key, (_, info) in fields(spec).items():
        if key in without:
            continue
        if key == EDGE_CHILD:
            lines.append("| *the node's own keys* | [node](kinds.md) | required | | The node. |")
            continue
        default = "required" if info.is_required() else _default(info.json_schema_extra)
        cells = [f"`{key}`", field_words(info), default, _since(spec, key), _text(info.description)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _default(extra: Any) -> str:
    printed = extra.get("x-default") if isinstance(extra, dict) else None
    return _text(printed) if printed is not None else ""


def _since(spec: type[Spec], key: str) -> str:
    name = "Workspace" if issubclass(spec, RoutesFile) else spec.__name__
    since = BUILT[name][key]
    if since is None:
        return "later"
    return f"{since}, in part" if (name, key) in VALUES else since


def _summary(spec: type[Spec]) -> str:
    return " ".join((spec.__doc__ or "").split())


def _text(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def _types(spec: type[Spec]) -> dict[str, TypeAliasType]:
    found: dict[str, TypeAliasType] = {}
    for _, info in fields(spec).values():
        found |= {alias.__name__: alias for alias in named_types(info.annotation)}
    return found


def _type(alias: TypeAliasType) -> list[str]:
    adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, alias))
    schema = adapter.json_schema()
    schema = schema.get("$defs", {}).get(alias.__name__, schema)
    lines = [str(schema.get("description", ""))] if schema.get("description") else []
    words = _enum(schema)
    if words:
        lines.append("One of " + ", ".join(f"`{word}`" for word in words) + ".")
    examples = [
        example for form in (schema, *schema.get("anyOf", ())) for example in form.get("examples", ())
    ]
    if examples:
        lines.append("Examples: " + ", ".join(f"`{example}`" for example in examples) + ".")
    return lines or ["A value."]


def _enum(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return found
