"""The types of expressions: few, structural, and derived from the canonical shapes.

A type is a `T`. `absent` says that the value may be missing at run time (None inside generated code). The
structs come from the TypedDicts of `engine.wire.canonical` and `engine.wire.operations` by
`typing.get_type_hints`, so that a field is declared once.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal

from engine.wire import canonical, operations

Access = Literal["dict", "attr", "entry"]
Kind = Literal["any", "bool", "number", "string", "list", "map", "struct", "null"]


@dataclass(frozen=True, slots=True)
class T:
    """One type.

    `item` is the element of a list or the value of a map; `values` the only strings there can be, where they
    are known; `whole` marks a number without a fraction; `name` is the class of a struct, and `access` how
    its fields are reached: `dict` by `.get`, `attr` as attributes of a view, `entry` by `.get` of a map that
    has all that are not marked absent.
    """

    kind: Kind
    item: T | None = None
    values: tuple[str, ...] | None = None
    whole: bool = False
    name: str = ""
    absent: bool = False
    access: Access = "dict"

    def maybe(self) -> T:
        return self if self.absent else replace(self, absent=True)

    def present(self) -> T:
        return replace(self, absent=False) if self.absent else self

    def __str__(self) -> str:
        return _WORDS[self.kind]


_WORDS: Final[dict[str, str]] = {
    "any": "a value", "bool": "true or false", "number": "a number", "string": "a text", "list": "a list",
    "map": "a map", "struct": "a map", "null": "nothing",
}  # fmt: skip

ANY: Final = T("any", absent=True)
BOOL: Final = T("bool")
NUMBER: Final = T("number")
INTEGER: Final = T("number", whole=True)
STRING: Final = T("string")
NULL: Final = T("null", absent=True)


def list_of(item: T) -> T:
    return T("list", item=item)


def map_of(value: T) -> T:
    return T("map", item=value)


def struct(name: str) -> T:
    """The struct type of a canonical class, or of one that `register` made known."""
    if name not in _EXTRA and not typing.is_typeddict(_class(name)):
        raise KeyError(f"no struct named {name!r}")
    return T("struct", name=name)


def _class(name: str) -> Any:
    """The canonical class of that name; None where there is none."""
    return getattr(canonical, name, None) or getattr(operations, name, None)


_EXTRA: dict[str, Mapping[str, T]] = {}


def register(name: str, fields: Mapping[str, T], access: Access = "dict") -> T:
    """Make a struct known that is no canonical class: a view of the route scope, a target."""
    _EXTRA[name] = fields
    return T("struct", name=name, access=access)


@cache
def fields_of(name: str) -> Mapping[str, T]:
    """The fields of a struct; those of a canonical class may all be absent."""
    if name in _EXTRA:
        return _EXTRA[name]
    hints = typing.get_type_hints(_class(name))
    return {field: from_hint(hint).maybe() for field, hint in hints.items()}


def from_hint(hint: Any) -> T:
    """A Python annotation as a type; what has no closer one is `any`."""
    simple = {bool: BOOL, int: INTEGER, float: NUMBER, str: STRING, Any: ANY, type(None): NULL}
    if hint in simple:
        return simple[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return T("string", values=tuple(args)) if all(isinstance(a, str) for a in args) else ANY
    if origin in (typing.Union, types.UnionType):
        rest = [a for a in args if a is not type(None)]
        return from_hint(rest[0]).maybe() if len(rest) == 1 else ANY
    if origin in (list, tuple):
        return list_of(from_hint(args[0]))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return map_of(from_hint(args[1]))
    if typing.is_typeddict(hint):
        return T("struct", name=hint.__name__)
    return ANY


def wanted(name: str) -> T:
    """The type a caller asks for by name: `bool`, `string`, `Request`, `list[Event]`."""
    known = {
        "bool": BOOL,
        "string": STRING,
        "number": NUMBER,
        "any": ANY,
        "map": map_of(ANY),
        "list": list_of(ANY),
    }
    if name in known:
        return known[name]
    if name.startswith("list[") and name.endswith("]"):
        return list_of(wanted(name[5:-1]))
    return struct(name)


def same_kind(a: T, b: T) -> bool:
    """Whether two values can be equal, or stand for one another; `any` and nothing go with everything."""
    maps = ("map", "struct")
    if "any" in (a.kind, b.kind) or "null" in (a.kind, b.kind):
        return True
    return a.kind == b.kind or (a.kind in maps and b.kind in maps)


def join(a: T, b: T) -> T:
    """The type of a value that is one or the other."""
    absent = a.absent or b.absent
    if a.kind == "null":
        return b.maybe()
    if b.kind == "null":
        return a.maybe()
    if a.present() == b.present():
        return replace(a, absent=absent)
    if a.kind != b.kind:
        return replace(ANY, absent=absent)
    if a.kind == "string":
        values = (*a.values, *b.values) if a.values is not None and b.values is not None else None
        return T("string", values=values, absent=absent)
    if a.kind == "number":
        return T("number", whole=a.whole and b.whole, absent=absent)
    if a.kind in ("list", "map") and a.item is not None and b.item is not None:
        return T(a.kind, item=join(a.item, b.item), absent=absent)
    return T("map", item=ANY, absent=absent) if a.kind == "struct" else replace(ANY, absent=absent)
