"""Every reference and every expression in a spec, with its path: what resolving and checking walk over.

What a field means is read off its type, once per class: `Refers` marks a name as a reference, the alias
`Expression` (or `NumberExpression`) marks a text as one. So a new node kind or section is resolved without a
line here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from typing_extensions import TypeAliasType

from engine.compiler.document import Path
from engine.spec.expression import Expression, NumberExpression
from engine.spec.model import Spec, key_of
from engine.spec.names import Refers
from engine.spec.nodes.node import EDGE_CHILD


class Reference(NamedTuple):
    """A name that must stand in one of `sections`. `path` is where it is written."""

    path: Path
    name: str
    sections: tuple[str, ...]


class ExpressionText(NamedTuple):
    """An expression as written; `field` is the key that holds it (`when`, `per`, `by`, ...)."""

    path: Path
    text: str
    field: str


Mention = Reference | ExpressionText


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    key: str | None  # None: an edge's child, whose keys stand on the edge's own map
    sections: tuple[str, ...] | None
    expression: bool
    words: frozenset[str]  # enum values beside the names or expressions
    deep: bool  # may hold specs


@dataclass(slots=True)
class _Marks:
    sections: tuple[str, ...] | None = None
    expression: bool = False
    deep: bool = False
    words: frozenset[str] = frozenset()


def mentions(spec: Spec, path: Path = ()) -> Iterator[Mention]:
    """All references and expressions in `spec`, which stands at `path`."""
    for field in _fields(type(spec)):
        value = getattr(spec, field.name)
        if value is not None:
            inside = path if field.key is None else (*path, field.key)
            yield from _in_value(value, inside, field)


def _in_value(value: Any, path: Path, field: _Field) -> Iterator[Mention]:
    if isinstance(value, Spec):
        yield from mentions(value, path)
    elif isinstance(value, str):
        if value in field.words:
            return
        if field.sections is not None:
            yield Reference(path, value, field.sections)
        elif field.expression:
            yield ExpressionText(path, value, _field_key(path))
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _in_value(item, (*path, index), field)
    elif isinstance(value, dict) and field.deep:
        for key, item in value.items():
            yield from _in_value(item, (*path, key), field)


def _field_key(path: Path) -> str:
    return next((key for key in reversed(path) if isinstance(key, str)), "")


@cache
def _fields(spec: type[Spec]) -> tuple[_Field, ...]:
    found = []
    for name, info in spec.model_fields.items():
        marks = _Marks()
        _mark(info.annotation, marks)
        for extra in info.metadata:
            _mark_extra(extra, marks)
        if marks.sections is None and not marks.expression and not marks.deep:
            continue
        key = key_of(name, info)
        found.append(
            _Field(
                name,
                None if key == EDGE_CHILD else key,
                marks.sections,
                marks.expression,
                marks.words,
                marks.deep,
            )
        )
    return tuple(found)


_EXPRESSIONS: Final = (Expression, NumberExpression)
_PLAIN: Final = (str, int, float, bool, type(None))


def _mark(annotation: Any, marks: _Marks) -> None:
    """Collect what an annotation says of the values in it, down to the next spec."""
    if annotation in _EXPRESSIONS:
        marks.expression = True
        return
    if isinstance(annotation, TypeAliasType):
        _mark(annotation.__value__, marks)
        return
    if annotation in _PLAIN or annotation is Any:
        return
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        marks.deep = True
        return
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        marks.words |= {word for word in typing.get_args(annotation) if isinstance(word, str)}
        return
    if origin is typing.Annotated:
        inner, *extras = typing.get_args(annotation)
        _mark(inner, marks)
        for extra in extras:
            _mark_extra(extra, marks)
        return
    for argument in typing.get_args(annotation):
        if argument is not Ellipsis:
            _mark(argument, marks)


def _mark_extra(extra: Any, marks: _Marks) -> None:
    if isinstance(extra, Refers):
        marks.sections = extra.sections
