"""The schema of an overlay, made from that of routes/: only what differs is written, so nothing is required.

`null` removes, and `$add: true` stands on an entry that is new.
"""

from __future__ import annotations

from typing import Any

from engine.spec.overlay import ADD

Schema = dict[str, Any]

_ADD: Schema = {
    "const": True,
    "description": "The entry is new; without this an overlay touches only what exists.",
}


def as_overlay(schema: Schema) -> Schema:
    """A schema of whole files as one of patches to them."""
    patched = {key: _patch(item) if key != "$defs" else item for key, item in schema.items()}
    patched["$defs"] = {name: _patch(item) for name, item in schema["$defs"].items()}
    return patched


def _patch(value: Any) -> Any:
    if isinstance(value, list):
        return [_patch(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _patch(item) for key, item in value.items() if key not in ("required", "examples")}
    if "examples" in value:
        made["examples"] = value["examples"]
    properties = value.get("properties")
    if isinstance(properties, dict) and value.get("type") is not None:
        made["properties"] = {ADD: _ADD, **{key: _or_null(_patch(item)) for key, item in properties.items()}}
    if isinstance(value.get("additionalProperties"), dict):
        made["additionalProperties"] = _or_null(_patch(value["additionalProperties"]))
    return made


def _or_null(item: Any) -> Any:
    null = {"type": "null"}
    if null in item.get("anyOf", ()) or "null" in (item.get("type") or ()):
        return item
    return {"anyOf": [item, null]}
