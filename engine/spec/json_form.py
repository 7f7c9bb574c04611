"""The JSON Schema of a leaf type: its pattern, its description, its examples."""

from __future__ import annotations

from typing import Any

from pydantic import WithJsonSchema


def json_form(
    pattern: str | None = None, description: str = "", *examples: Any, type: Any = "string", **more: Any
) -> WithJsonSchema:
    """What editors are told of a type."""
    schema: dict[str, Any] = {"type": type, "description": description, **more}
    if pattern is not None:
        schema["pattern"] = pattern
    if examples:
        schema["examples"] = list(examples)
    return WithJsonSchema(schema)
