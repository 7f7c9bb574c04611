"""Which fields an expression or a template reads, and which keys a template can write: for the ledger.

Names are dotted, lists are passed through: `messages.content.text` is the text of any part of any message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engine.plan.scopes import SCOPES, base_scope
from engine.plan.values import Expr, Template

Ir = Any

#: The canonical value that the templates of a scope turn into a wire body, or the body they read.
ROOTS: Final = {
    "request_write": "request", "response_write": "reply", "stream_write": "event", "error_write": "error",
    "request_read": "body", "response_read": "body", "stream_read": "event", "error_read": "body",
}  # fmt: skip


def fields_read(expr: Expr) -> set[str]:
    """Dotted names of what the expression reads: `key.tags.tier`, `request.has.image`, `clock.now`."""
    return set(_fields(expr.ir, SCOPES[expr.scope], {}))


def uses_clock(expr: Expr) -> bool:
    """Whether the value depends on the time: a workspace then needs a time zone."""
    read = (name.split(".") for name in fields_read(expr))
    return any(parts[0] == "clock" and parts[1:2] != ["budget_used"] for parts in read)


def reads(template: Template, root: str | None = None) -> set[str]:
    """Dotted fields of `root` that the template reads, lists passed through: `messages.content.text`.

    `root` is a parameter of the scope; without it the one that the scope is about (`request` where a request
    is written). The empty name stands for the whole of it.
    """
    names = SCOPES[template.scope]
    wanted = root or ROOTS.get(base_scope(template.scope), names[0])
    found = _fields(template.ir, names, _locals(template.ir, names))
    return {name.partition(".")[2] for name in found if name.partition(".")[0] == wanted}


def writes(template: Template) -> set[str]:
    """Dotted keys that the template can put into what it makes, lists passed through."""
    return set(_written(template.ir, ""))


def _written(ir: Ir, at: str) -> Iterator[str]:
    tag = ir[0]
    if tag == "K":
        yield from _written_json(ir[1], at)
        return
    if tag == "M":
        for entry in ir[1]:
            if entry[0] == "=":
                name = f"{at}.{entry[1]}" if at else entry[1]
                yield name
                yield from _written(entry[2], name)
            elif entry[0] == "S":
                yield from _written(entry[1], at)
        return
    inner: dict[str, Any] = {
        "L": lambda: ir[1], "S": lambda: [ir[1]], "I": lambda: [ir[2], ir[3]],
        "W": lambda: [*(case for _, case in ir[3]), ir[4]], "T": lambda: [ir[2]], "F": lambda: [ir[1]["do"]],
    }  # fmt: skip
    for part in inner.get(tag, list)():
        if part is not None:
            yield from _written(part, at)


def _written_json(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            name = f"{at}.{key}" if at else key
            yield name
            yield from _written_json(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _written_json(item, at)


# --- fields

Paths = dict[int, str]


def _locals(ir: Ir, names: tuple[str, ...]) -> Paths:
    """Local variable -> dotted name of what it holds, for those of `$for` and `$let` that hold a field."""
    paths: Paths = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "v" in node and "in" in node:
                name = dotted(node["in"], names, paths)
                if name:
                    paths[node["v"]] = name
            for item in node.values():
                walk(item)
        elif isinstance(node, list):
            if node and node[0] == "T":
                for number, item in node[1]:
                    name = dotted(item[1], names, paths) if item[0] == "E" else None
                    if name:
                        paths[number] = name
            for item in node:
                walk(item)

    walk(ir)
    return paths


def dotted(ir: Ir, names: tuple[str, ...], paths: Paths) -> str | None:
    """The dotted name of what `ir` reads, where it does nothing else than reading."""
    if not isinstance(ir, list) or not ir:
        return None
    tag = ir[0]
    if tag == "p":
        return names[ir[1]]
    if tag == "l":
        return paths.get(ir[1])
    if tag in ("a", "f", "g", "fd"):
        owner = dotted(ir[1], names, paths)
        return f"{owner}.{ir[2]}" if owner else None
    if tag == "m":
        owner = dotted(ir[1], names, paths)
        argument = ir[3][0][1] if ir[2] != "between" and ir[3] else None
        return f"{owner}.{ir[2]}.{argument}" if argument else f"{owner}.{ir[2]}" if owner else None
    if tag == "i":
        return dotted(ir[1], names, paths)
    if tag == "call" and ir[1] in ("default", "dedupe", "where", "find", "first", "last"):
        return dotted(ir[2][0], names, paths)
    return None


def _fields(ir: Ir, names: tuple[str, ...], paths: Paths) -> Iterator[str]:
    if isinstance(ir, dict):
        for key, item in ir.items():
            if key != "path":
                yield from _fields(item, names, paths)
        return
    if not isinstance(ir, list) or not ir or ir[0] in ("c", "K"):
        return
    if ir[0] == "C" or ir[0] == "req":  # a wire path stands behind it, and its field may be called `p`
        yield from _fields(ir[2] if ir[0] == "C" else ir[1], names, paths)
        return
    name = dotted(ir, names, paths) if isinstance(ir[0], str) else None
    if name:
        yield name
        if ir[0] == "i":
            yield from _fields(ir[2], names, paths)
        if ir[0] == "call":
            for item in ir[2][1:]:
                yield from _fields(item, names, paths)
        return
    for item in ir:
        yield from _fields(item, names, paths)
