"""Follows a location of pydantic through the spec classes: which class, which field does it speak of?

Used to say which keys a map takes, and what a missing one is for. The walk goes over type annotations, so it
needs no table that could go stale.
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, Tag
from typing_extensions import TypeAliasType

from engine.spec.model import Spec, fields
from engine.spec.nodes.node import KIND_TAG, NodeSpec
from engine.spec.nodes.table import SPECS


def owner_of(model: type[BaseModel], location: tuple[Any, ...]) -> type[Spec] | None:
    """The spec class whose map stands at `location`, or None where something else stands there."""
    found: Any = model
    for element in location:
        found = _below(found, element)
        if found is None:
            return None
    return model_of(found)


def model_of(annotation: Any) -> type[Spec] | None:
    """The spec class of an annotation, an optional one included."""
    for choice in choices(annotation):
        if isinstance(choice, type) and issubclass(choice, Spec):
            return choice
    return None


def choices(annotation: Any) -> tuple[Any, ...]:
    """What an annotation may be, without aliases, metadata and None: the members of a union, or itself."""
    annotation = strip(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return tuple(c for arg in get_args(annotation) if arg is not type(None) for c in choices(arg))
    return (annotation,)


def strip(annotation: Any) -> Any:
    """An annotation without `Annotated` and named aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def _below(annotation: Any, element: Any) -> Any:
    """The annotation of what `element` (a key, an index or a tag) leads to; None where nothing does."""
    annotation = strip(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return _in_union(get_args(annotation), element)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _in_model(annotation, element)
    args = get_args(annotation)
    if get_origin(annotation) is tuple and isinstance(element, int):
        return args[0]
    if get_origin(annotation) is dict:
        return args[1]
    return None


def _in_model(model: type[BaseModel], element: Any) -> Any:
    if issubclass(model, RootModel):
        return _below(model.model_fields["root"].annotation, element)
    if issubclass(model, NodeSpec) and isinstance(element, str) and element.startswith(KIND_TAG):
        return SPECS[element.removeprefix(KIND_TAG)]
    field = fields(model).get(element) if issubclass(model, Spec) else None
    return field[1].annotation if field else None


def _in_union(members: tuple[Any, ...], element: Any) -> Any:
    for member in members:
        tags = [m.tag for m in getattr(member, "__metadata__", ()) if isinstance(m, Tag)]
        if element in tags:
            return member
    found = (_below(member, element) for member in members if member is not type(None))
    return next((item for item in found if item is not None), None)
