"""Schemas of patches, made from those of whole files: only what differs is written, so nothing is required.

`null` removes. In an overlay `$add: true` stands on an entry that is new; a provider or dialect file is a
patch where it `extends` another.
"""

from __future__ import annotations

from typing import Any

from engine.spec.overlay import ADD

Schema = dict[str, Any]

_ADD: Schema = {
    "const": True,
    "description": "The entry is new; without this an overlay touches only what exists.",
}
_NEW: Schema = {ADD: _ADD}

#: Keywords that say what a schema is, not what it takes.
_HEAD = ("$schema", "title", "description")


def as_overlay(schema: Schema) -> Schema:
    """A schema of whole files as one of patches to them."""
    patched = {key: _patch(item, _NEW) if key != "$defs" else item for key, item in schema.items()}
    patched["$defs"] = {name: _patch(item, _NEW) for name, item in schema["$defs"].items()}
    return patched


def whole_or_patch(schema: Schema) -> Schema:
    """A schema of files that are whole, or say with `extends` what they are put over."""
    head = {key: item for key, item in schema.items() if key in _HEAD}
    whole = {key: item for key, item in schema.items() if key not in _HEAD}
    definitions = whole.pop("$defs")
    patches = {f"{name}Patch": _patch(_renamed(item), {}) for name, item in definitions.items()}
    return {
        **head,
        "if": {"required": ["extends"]},
        "then": _patch(_renamed(whole), {}),
        "else": whole,
        "$defs": {**definitions, **patches},
    }


def _renamed(value: Any) -> Any:
    """The same, with references to the patches of definitions."""
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"{item}Patch" if key == "$ref" and isinstance(item, str) else _renamed(item)
        for key, item in value.items()
    }


def _patch(value: Any, more: Schema) -> Any:
    """A schema with nothing required and null anywhere; `more`: properties that a map may have besides."""
    if isinstance(value, list):
        return [_patch(item, more) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _patch(item, more) for key, item in value.items() if key not in ("required", "examples")}
    if "examples" in value:
        made["examples"] = value["examples"]
    properties = value.get("properties")
    if isinstance(properties, dict) and value.get("type") is not None:
        made["properties"] = {**more, **{k: _or_null(_patch(item, more)) for k, item in properties.items()}}
    if isinstance(value.get("additionalProperties"), dict):
        made["additionalProperties"] = _or_null(_patch(value["additionalProperties"], more))
    return made


def _or_null(item: Any) -> Any:
    null = {"type": "null"}
    if null in item.get("anyOf", ()) or "null" in (item.get("type") or ()):
        return item
    return {"anyOf": [item, null]}
