"""Types of the spec in words: `list of names of budgets`, `map of a name to a node`, `first_token or
complete`.
"""

from __future__ import annotations

import collections.abc
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from engine.spec.model import Spec
from engine.spec.names import Refers
from engine.spec.nodes.node import NodeSpec

_NODES: Final = "engine.spec.nodes"

#: Sections in the singular, for references into them.
_ONE = {
    "nodes": "node",
    "deployments": "deployment",
    "budgets": "budget",
    "limits": "limit",
    "guards": "guard",
    "alerts": "alert",
    "credentials": "credential",
}


def field_words(info: FieldInfo) -> str:
    """A field's type."""
    return words(info.annotation, tuple(info.metadata))


def words(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """An annotation in words; named types and spec classes as links into the page."""
    refers = next((m for m in metadata if isinstance(m, Refers)), None)
    if refers is not None:
        return "name of a " + " or ".join(_ONE[section] for section in refers.sections)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return words(args[0], args[1:])
    if isinstance(annotation, TypeAliasType):
        return link(annotation.__name__)
    if origin is Literal:
        return " \\| ".join(f"`{arg}`" for arg in args)
    if origin in (Union, UnionType):
        return " \\| ".join(dict.fromkeys(words(arg) for arg in args if arg is not NoneType))
    if origin is tuple:
        return _list_of(args[0])
    if origin in (dict, collections.abc.Mapping):
        return f"map of {words(args[0])} to {words(args[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return (
            "[node](kinds.md)"
            if issubclass(annotation, NodeSpec)
            else link(annotation.__name__, of_page(annotation))
        )
    return {bool: "true \\| false", int: "whole number", str: "text", Any: "any value"}.get(
        annotation, "any value"
    )


def _list_of(item: Any) -> str:
    refers = next((m for m in getattr(item, "__metadata__", ()) if isinstance(m, Refers)), None)
    if refers is not None:
        return "list of names of " + " or ".join(refers.sections)
    return f"list of {words(item)}"


def of_page(spec: type[Spec]) -> str:
    """The page that a class stands on: what only nodes use is with the kinds."""
    return "kinds.md" if spec.__module__.startswith(f"{_NODES}.") else "language.md"


def link(name: str, page: str = "language.md") -> str:
    """A link to the heading of a class or a named type."""
    return f"[{name}]({page}#{name.lower()})"


def spec_classes(annotation: Any) -> list[type[Spec]]:
    """The spec classes that an annotation speaks of, in order; nodes apart, they have a page of their own."""
    if isinstance(annotation, TypeAliasType):
        return spec_classes(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [] if issubclass(annotation, NodeSpec) else [annotation]
    return [found for arg in get_args(annotation) for found in spec_classes(arg)]


def named_types(annotation: Any) -> list[TypeAliasType]:
    """The named types that an annotation speaks of."""
    if isinstance(annotation, TypeAliasType):
        return [annotation]
    return [found for arg in get_args(annotation) for found in named_types(arg)]
