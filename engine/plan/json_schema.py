"""JSON Schemas made fit for vendors that do not take all of them. Bounded: a schema comes from a client."""

from __future__ import annotations

from typing import Any, Final

MAX_DEPTH: Final = 64
#: Nodes that one schema may have after its references are put in.
MAX_NODES: Final = 20_000

#: Keywords whose maps have names of the user's own as keys, which are no keywords.
_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords whose values are data, not schemas.
_DATA: Final = frozenset({"enum", "const", "default", "examples", "example"})


def drop_keys(value: Any, *keys: Any) -> dict[str, Any] | None:
    """The schema without these keywords, at any depth; properties that happen to have their names stay."""
    if not isinstance(value, dict):
        return None
    found = _drop(value, frozenset(key for key in keys if isinstance(key, str)), False, 0)
    return found if isinstance(found, dict) else None


def _drop(value: Any, keys: frozenset[str], named: bool, depth: int) -> Any:
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, list):
        return [_drop(item, keys, False, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in _DATA and not named else _drop(item, keys, not named and key in _NAMED, depth + 1)
        for key, item in value.items()
        if named or key not in keys
    }


class _TooLarge(Exception):
    pass


def inline_refs(value: Any) -> dict[str, Any] | None:
    """The schema with each local `$ref` replaced by what it points to.

    One that points into itself, or whose result would be beyond the limits, is given back as it was: the
    vendor then says what it does not take.
    """
    if not isinstance(value, dict):
        return None
    try:
        found = _Inliner(value).walk(value, (), 0)
    except _TooLarge:
        return value
    return {key: item for key, item in found.items() if key not in ("$defs", "definitions")}


class _Inliner:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.nodes = 0

    def walk(self, value: Any, inside: tuple[str, ...], depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise _TooLarge
        if isinstance(value, list):
            return [self.walk(item, inside, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        ref = value.get("$ref")
        if isinstance(ref, str) and ref.startswith("#/"):
            if ref in inside:
                raise _TooLarge
            rest = {key: item for key, item in value.items() if key != "$ref"}
            target = self.walk(self.target(ref), (*inside, ref), depth + 1)
            return {**target, **self.walk(rest, inside, depth + 1)} if isinstance(target, dict) else target
        return {key: self.walk(item, inside, depth + 1) for key, item in value.items()}

    def target(self, ref: str) -> Any:
        found: Any = self.root
        for step in ref[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise _TooLarge
            found = found[key]
        return found
