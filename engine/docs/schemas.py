"""The JSON Schemas of a workspace's files, generated from the spec classes: `schemas/*.schema.json`.

Draft 2020-12, and no keyword that editors of older drafts would misread: edge keys (`when`, `weight`,
`share`) are written out as variants of each node kind rather than left to `unevaluatedProperties`. A schema
accepts what `compiler/shape` accepts; what takes more than a form to see (a sum, two keys at odds) is left to
the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from engine.docs.overlay_schema import as_overlay, whole_or_patch
from engine.spec.case import CaseFile
from engine.spec.dialect import DialectSpec
from engine.spec.nodes.node import EDGE_CHILD
from engine.spec.overhead import OverheadFile
from engine.spec.provider import ProviderSpec
from engine.spec.settings import Settings
from engine.spec.workspace import PoliciesFile, RoutesFile

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

#: File name without `.schema.json` -> (class, what it is for people).
FILES: Final[Mapping[str, tuple[type[BaseModel], str]]] = {
    "engine": (Settings, "engine.yaml: the settings of one process"),
    "routes": (RoutesFile, "routes/*.yaml: deployments, routes, nodes and what belongs to them"),
    "policies": (PoliciesFile, "policies/*.yaml: the floor under every route"),
    "overlay": (RoutesFile, "envs/NAME/*.yaml: what is different in one environment"),
    "case": (CaseFile, "cases/*.yaml: policy cases that `engine test` runs"),
    "provider": (ProviderSpec, "providers.d/*.yaml: one vendor"),
    "dialect": (DialectSpec, "providers.d/dialects/*.yaml: one wire format"),
    "overheads": (OverheadFile, "providers.d/facts/overheads.yaml: what requests cost beside their text"),
}


def schema(name: str) -> Schema:
    """One schema, by its name in `FILES`."""
    model, title = FILES[name]
    raw = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions: Schema = raw.pop("$defs", {})
    # The root may be a definition itself (a class that offers a short form).
    made = {"$schema": DRAFT, "title": title, **{k: v for k, v in raw.items() if k != "title"}}
    made["$defs"] = {key: definitions[key] for key in sorted(definitions)}
    made = _tidy(made)
    _write_out_edges(made["$defs"])
    _allow_anchors(made)
    if name == "overlay":
        made = as_overlay(made)
    elif "extends" in made.get("properties", {}):
        made = whole_or_patch(made)
    return _without_unused(made)


def schemas() -> dict[str, str]:
    """File name -> text of every schema, ready to be written."""
    return {
        f"{name}.schema.json": json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n" for name in FILES
    }


def drift(folder: Path) -> list[str]:
    """The files in `folder` that are missing, or not what would be written now."""
    return [name for name, text in schemas().items() if _read(folder / name) != text]


def write(folder: Path) -> list[str]:
    """Write the schemas that have changed; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = drift(folder)
    texts = schemas()
    for name in changed:
        (folder / name).write_text(texts[name], encoding="utf-8", newline="\n")
    return changed


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


# --- making pydantic's schema one for people ----------------------------------------------------------


def _tidy(value: Any) -> Any:
    """Without generated titles; defaults in the description, as they are printed, not as they are stored."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _tidy_child(key, item) for key, item in value.items() if key not in ("default", "x-default")}
    if "oneOf" in made:
        # A word may be an expression too: what matters is that some form fits.
        made["anyOf"] = made.pop("oneOf")
    if isinstance(made.get("title"), str) and "$schema" not in made:
        del made["title"]
    printed = value.get("x-default")
    if isinstance(printed, str):
        made["description"] = f"{made.get('description', '')} Default: {printed}.".strip()
    return made


def _tidy_child(key: str, item: Any) -> Any:
    """Maps of names (properties, definitions) hold names, not keywords: `default` may be one of them."""
    if key in ("properties", "$defs", "patternProperties") and isinstance(item, dict):
        return {name: _tidy(child) for name, child in item.items()}
    return item if key in ("examples", "enum", "const") else _tidy(item)


def _write_out_edges(definitions: Schema) -> None:
    """`{when: X, use: gpt}`: for each edge, a variant of every kind that takes the edge's keys too."""
    kinds = [
        ref["$ref"].rpartition("/")[2]
        for ref in definitions.get("Node", {}).get("anyOf", [])
        if "$ref" in ref
    ]
    edges = [name for name, item in definitions.items() if EDGE_CHILD in item.get("properties", {})]
    for edge in edges:
        own = {key: item for key, item in definitions[edge]["properties"].items() if key != EDGE_CHILD}
        required = [key for key in definitions[edge].get("required", []) if key != EDGE_CHILD]
        variants = [_variant(kind, definitions[kind], edge, own, required) for kind in kinds]
        bare = [] if required else [definitions["Node"]["anyOf"][0]]
        definitions[edge] = {
            "description": definitions[edge].get("description", ""),
            "anyOf": [*bare, *variants],
        }


def _variant(kind: str, spec: Schema, edge: str, own: Schema, required: list[str]) -> Schema:
    """A kind's keys (by reference) and the edge's own."""
    keys = {key: {"$ref": f"#/$defs/{kind}/properties/{key}"} for key in spec["properties"]}
    return {
        "type": "object",
        "description": spec.get("description", ""),
        "properties": {**own, **keys},
        "required": [*required, *spec.get("required", [])],
        "additionalProperties": False,
    }


def _allow_anchors(made: Schema) -> None:
    """Anchors live under `x-*` keys at the top of a file. A section may be empty: all its lines commented
    out.
    """
    for root in (made, made["$defs"].get(made.get("$ref", "").rpartition("/")[2], {})):
        if "properties" not in root:
            continue
        root["patternProperties"] = {
            "^x-": {"description": "A place for anchors (`&name`); read by nobody else."}
        }
        for key, item in root["properties"].items():
            if item.get("type") == "object":
                root["properties"][key] = {**item, "type": ["object", "null"]}


def _without_unused(made: Schema) -> Schema:
    """Only the definitions that the root reaches."""
    definitions = made["$defs"]
    wanted: set[str] = set()

    def follow(value: Any) -> None:
        _each_ref(value, visit)

    def visit(reference: str) -> None:
        name = reference.removeprefix("#/$defs/").partition("/")[0]
        if name not in wanted:
            wanted.add(name)
            follow(definitions[name])

    follow({key: item for key, item in made.items() if key != "$defs"})
    made["$defs"] = {name: item for name, item in definitions.items() if name in wanted}
    return made


def _each_ref(value: Any, visit: Callable[[str], None]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            visit(value["$ref"])
        for item in value.values():
            _each_ref(item, visit)
    elif isinstance(value, list):
        for item in value:
            _each_ref(item, visit)
