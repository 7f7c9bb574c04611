"""A name, or a list of names: read as a list either way."""

from __future__ import annotations

from typing import Any

from engine.spec.fault import fault, wrong_type


def one_or_more(value: Any) -> Any:
    """`a` and `[a, b]` as tuples; an empty list, or anything else, is told."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise wrong_type(value, "a name or a list of names")
    if not value:
        raise fault("E114", "the list is empty", "name at least one, or leave the key out")
    return tuple(value)
