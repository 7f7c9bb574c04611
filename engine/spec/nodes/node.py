"""A node: its kind key holds the name or the children, everything else is a sibling.

`Child` is the type of any node: a bare string is `use: NAME`, a map is told apart by its kind key. `Edge` is
the base of entries under a parent that reads a key of its own beside the child's (`when`, `weight`, `share`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from engine.spec.call import CallOptions
from engine.spec.lowering import Lowering, Path
from engine.spec.model import Spec, about

if TYPE_CHECKING:
    from engine.plan.types import Node

#: Every kind of the language, in its order. `nodes/table.py` holds the class of each; a test compares.
KIND_KEYS: Final = (
    "use",
    "fallback",
    "balance",
    "split",
    "switch",
    "classify",
    "cascade",
    "hedge",
    "ensemble",
    "mirror",
    "cache",
    "reject",
    "respond",
)

#: Locations of pydantic hold tags beside keys: these beginnings cannot be keys of ours, and shape drops them.
KIND_TAG: Final = "kind:"
FORM_TAG: Final = "form:"
#: Where an edge keeps its child: the child's keys stand on the edge's own map.
EDGE_CHILD: Final = "form:node"


class NodeSpec(Spec):
    """The base of every kind."""

    kind: ClassVar[str] = ""
    #: One node of this kind, as users write it: for the reference. A test reads it.
    example: ClassVar[str] = ""

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        """The nodes below, each with its path from this node's own map."""
        return iter(())

    def consults(self) -> Iterator[tuple[Path, str]]:
        """Whom the node asks for itself (a judge, an embedder), each with the path of its name from here."""
        return iter(())

    def lower(self, low: Lowering, path: Path) -> Node:
        """The plan's node. Kinds that do not execute yet never get here: `compiler/built.py` refuses them."""
        raise NotImplementedError(f"`{self.kind}` has no lowering; compiler/built.py refuses it before")


class CallingNode(CallOptions, NodeSpec):
    """A node below which calls are made: it may carry the options that inherit."""


def kinds_in(value: dict[Any, Any]) -> list[str]:
    """The kind keys of a map, in the order they are written."""
    return [key for key in value if key in KIND_KEYS]


def _tag(value: Any) -> str | None:
    """The kind of a node as read, as a union's tag; None where it has no kind, or two."""
    if isinstance(value, NodeSpec):
        return KIND_TAG + value.kind
    if isinstance(value, str):
        return f"{KIND_TAG}use"
    found = kinds_in(value) if isinstance(value, dict) else ()
    return KIND_TAG + found[0] if len(found) == 1 else None


class _AnyKind:
    """Makes `Child` a union over all kinds. They import this file, so the union is made on first use."""

    _alias: ClassVar[Any] = None

    @classmethod
    def alias(cls) -> Any:
        if cls._alias is None:
            from engine.spec.nodes.table import SPECS  # the kinds import this module

            members = tuple(Annotated[spec, Tag(KIND_TAG + kind)] for kind, spec in SPECS.items())
            union: Any = members[0]
            for member in members[1:]:
                union = union | member
            cls._alias = TypeAliasType("Node", Annotated[union, Discriminator(_tag), _BareName()])
        return cls._alias

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self.alias())


class _BareName:
    """Adds the bare string to the JSON Schema of a node."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        name = {"type": "string", "description": "A deployment or a named node: short for `use: NAME`."}
        kinds = handler.resolve_ref_schema(handler(schema))
        return {
            "description": "A node: a name, or a map with one kind key.",
            "anyOf": [name, *kinds["oneOf"]],
        }


#: Any node.
Child = Annotated[NodeSpec, _AnyKind()]


class Edge(Spec):
    """An entry of a parent that reads keys of its own beside the node's: `{when: X, use: gpt}`."""

    node: Child = about("The node.", required=True, alias=EDGE_CHILD)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Takes the edge's own keys out of the map; what is left is the node."""
        if isinstance(value, str):
            return {EDGE_CHILD: value}
        if not isinstance(value, dict):
            return {EDGE_CHILD: value}
        own = {key for name, info in cls.model_fields.items() if (key := info.alias or name) != EDGE_CHILD}
        edge = {key: item for key, item in value.items() if key in own}
        return {**edge, EDGE_CHILD: {key: item for key, item in value.items() if key not in own}}


__all__ = [
    "EDGE_CHILD",
    "FORM_TAG",
    "KIND_KEYS",
    "KIND_TAG",
    "CallingNode",
    "Child",
    "Edge",
    "NodeSpec",
    "kinds_in",
]
