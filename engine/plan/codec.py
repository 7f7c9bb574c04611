"""Frozen dataclasses to canonical JSON and back, and the digest over it.

Canonical JSON here: UTF-8, keys sorted, no spaces, no NaN; so one plan has one text on every
machine. Fields that hold their default are left out: a plan of ten thousand routes stays small, and a new
optional field does not change the digest of plans that do not use it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from engine.plan.types import Node, Ref

T = TypeVar("T")

Decoder = Callable[[Any], Any]


class PlanDecodeError(ValueError):
    """A stored plan does not have the shape this version of the engine reads."""


_kinds: dict[str, type[Node]] = {"ref": Ref}


def register_kinds(table: Mapping[str, type[Node]]) -> None:
    """Make node kinds known to the decoder (`engine.kinds` does it once, from its table)."""
    _kinds.update(table)


def encode(value: Any) -> Any:
    """A plan value as plain JSON data."""
    return json.loads(canonical(value))


def canonical(value: Any) -> bytes:
    """The one JSON text of a plan value."""
    return _text(value, sort=True)


def in_order(value: Any) -> bytes:
    """JSON text of a plan value with its keys in the order they are held in: for `restore`."""
    return _text(value, sort=False)


def _text(value: Any, *, sort: bool) -> bytes:
    return json.dumps(
        value,
        sort_keys=sort,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        default=_shallow,
    ).encode()


def _shallow(value: Any) -> Any:
    """What the JSON writer cannot write itself as what it can, one level deep: it asks again for the rest.

    Most of a plan is IR, which is plain lists already: walked by the writer, in C.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        out: dict[str, Any] = {}
        if isinstance(value, Node):
            out["kind"] = value.kind
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if field.default is not dataclasses.MISSING and item == field.default:
                continue
            out[field.name] = item
        return out
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in a plan")


def digest(text: bytes) -> str:
    """sha256 of a canonical text, in hex."""
    return hashlib.sha256(text).hexdigest()


def decode(cls: type[T], data: Any) -> T:
    """Build a plan value of type `cls` from its JSON data; lists of free shape become tuples.

    Raises:
        PlanDecodeError: the data is not what `encode` writes for `cls`.
    """
    return _decode(_frozen, cls, data)


def restore(cls: type[T], data: Any) -> T:
    """The value that `in_order` wrote, equal in every part to what the compiler made: lists stay lists.

    Raises:
        PlanDecodeError: as `decode`.
    """
    return _decode(_as_made, cls, data)


def _decode(decoders: _Decoders, cls: type[T], data: Any) -> T:
    try:
        value: T = decoders.of(cls)(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise PlanDecodeError(f"not a {cls.__name__}: {error}") from error
    return value


def _plain(data: Any) -> Any:
    return data


def _freeze(data: Any) -> Any:
    """JSON data of free shape, its lists as tuples, so that a plan stays hashable by value."""
    if isinstance(data, list):
        return tuple(_freeze(item) for item in data)
    if isinstance(data, dict):
        return {key: _freeze(item) for key, item in data.items()}
    return data


class _Decoders:
    """The decoder of each type, made when it is first needed. `free` takes data of free shape."""

    def __init__(self, free: Decoder) -> None:
        self._free = free
        self._made: dict[Any, Decoder] = {}

    def of(self, hint: Any) -> Decoder:
        known = self._made.get(hint)
        if known is None:
            known = self._made[hint] = self._make(hint)
        return known

    def _make(self, hint: Any) -> Decoder:
        origin = typing.get_origin(hint)
        if hint is Any:
            return self._free
        if hint in (str, int, float, bool, type(None)) or origin is typing.Literal:
            return _plain
        if origin is tuple:
            return self._tuple(typing.get_args(hint))
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            item = self.of(typing.get_args(hint)[1])
            return lambda data: {key: item(value) for key, value in data.items()}
        if origin in (typing.Union, types.UnionType):
            return self._union(typing.get_args(hint))
        if isinstance(hint, type) and issubclass(hint, Node):
            return self._node if hint is Node else self._record(hint)
        if dataclasses.is_dataclass(hint):
            return self._record(hint)
        raise TypeError(f"no decoder for {hint!r}")

    def _tuple(self, args: tuple[Any, ...]) -> Decoder:
        if len(args) == 2 and args[1] is Ellipsis:
            item = self.of(args[0])
            return lambda data: tuple(item(value) for value in data)
        items = [self.of(arg) for arg in args]
        return lambda data: tuple(f(value) for f, value in zip(items, data, strict=True))

    def _union(self, args: tuple[Any, ...]) -> Decoder:
        rest = [arg for arg in args if arg is not type(None)]
        if len(rest) == 1:
            inner = self.of(rest[0])
            return lambda data: None if data is None else inner(data)
        if all(arg in (str, int, float, bool) for arg in rest):
            return _plain
        raise TypeError(f"a plan field may be optional, not a union of {rest!r}")

    def _node(self, data: Any) -> Any:
        kind = data["kind"]
        if kind not in _kinds:
            raise PlanDecodeError(f"this engine has no node kind {kind!r}")
        return self.of(_kinds[kind])(data)

    def _record(self, cls: Any) -> Decoder:
        hints = typing.get_type_hints(cls)
        names = {field.name for field in dataclasses.fields(cls)}
        decoders: dict[str, Decoder] = {}

        def build(data: Any) -> Any:
            if not decoders:  # filled on first use, because a node's type may contain itself
                decoders.update({name: self.of(hints[name]) for name in names})
            unknown = data.keys() - names - {"kind"}
            if unknown:
                raise PlanDecodeError(f"{cls.__name__} has no field {min(unknown)!r}")
            return cls(**{key: decoders[key](value) for key, value in data.items() if key in names})

        return build


_frozen = _Decoders(_freeze)
_as_made = _Decoders(_plain)
