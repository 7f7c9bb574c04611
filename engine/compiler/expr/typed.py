"""An expression after checking: its IR, its type, where it begins and which wire field it was read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.compiler.expr.types import T

#: Steps from the root of a wire body: a key, an index, or `["l", n]`, the index in local variable n.
WirePath = list[Any]


@dataclass(frozen=True, slots=True)
class Typed:
    """`path` is None for what was not read off a wire, or was computed."""

    ir: list[Any]
    type: T
    begin: int
    path: WirePath | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """A name of `$for` or `$let`: the number of its variable, its type, and its wire path."""

    index: int
    type: T
    path: WirePath | None = None


def begin_of(node: Any) -> int:
    """The offset of the first character of a node: its leftmost operand's."""
    for name in ("node", "expr", "left", "expr1"):
        inner = getattr(node, name, None)
        if inner is not None:
            return begin_of(inner)
    inner = getattr(node, "nodes", None)
    return begin_of(inner[0]) if inner else int(node.lineno)


def depth_of(ir: Any) -> int:
    """How deeply lists stand in one another, without recursion."""
    deepest, level = 0, [ir] if isinstance(ir, list) else []
    while level:
        deepest += 1
        level = [inner for item in level for inner in item if isinstance(inner, list)]
    return deepest
