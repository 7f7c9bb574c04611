"""What can be known of a compiled expression or template without running it.

For the checks of a workspace: which fields are read (`require.when` may read `key.*` only), whether a clock
is, whether a condition always holds, whether two routes can take the same request. All answers are from the
IR; `disjoint` and `always` say yes only where it is proven.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

from engine.compiler.expr.ranges import Bounds, Range
from engine.plan import operations
from engine.plan.scopes import SCOPES
from engine.plan.types import Expr, Template

Ir = Any

_NEGATED: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
#: Alternatives of a condition looked at by `disjoint`: beyond this nothing is proven.
_MAX_CASES: Final = 64

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
    return any(name.split(".", 1)[0] == "clock" for name in fields_read(expr))


def reads(template: Template, root: str | None = None) -> set[str]:
    """Dotted fields of `root` that the template reads, lists passed through: `messages.content.text`.

    `root` is a parameter of the scope; without it the one that the scope is about (`request` where a request
    is written). The empty name stands for the whole of it.
    """
    names = SCOPES[template.scope]
    wanted = root or ROOTS.get(template.scope, names[0])
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
                name = _dotted(node["in"], names, paths)
                if name:
                    paths[node["v"]] = name
            for item in node.values():
                walk(item)
        elif isinstance(node, list):
            if node and node[0] == "T":
                for number, item in node[1]:
                    name = _dotted(item[1], names, paths) if item[0] == "E" else None
                    if name:
                        paths[number] = name
            for item in node:
                walk(item)

    walk(ir)
    return paths


def _dotted(ir: Ir, names: tuple[str, ...], paths: Paths) -> str | None:
    """The dotted name of what `ir` reads, where it does nothing else than reading."""
    if not isinstance(ir, list) or not ir:
        return None
    tag = ir[0]
    if tag == "p":
        return names[ir[1]]
    if tag == "l":
        return paths.get(ir[1])
    if tag in ("a", "f", "g", "fd"):
        owner = _dotted(ir[1], names, paths)
        return f"{owner}.{ir[2]}" if owner else None
    if tag == "m":
        owner = _dotted(ir[1], names, paths)
        argument = ir[3][0][1] if ir[2] != "between" and ir[3] else None
        return f"{owner}.{ir[2]}.{argument}" if argument else f"{owner}.{ir[2]}" if owner else None
    if tag == "i":
        return _dotted(ir[1], names, paths)
    if tag == "call" and ir[1] in ("default", "dedupe", "where", "find", "first", "last"):
        return _dotted(ir[2][0], names, paths)
    return None


def _fields(ir: Ir, names: tuple[str, ...], paths: Paths) -> Iterator[str]:
    if isinstance(ir, dict):
        for item in ir.values():
            yield from _fields(item, names, paths)
        return
    if not isinstance(ir, list) or not ir or ir[0] in ("c", "K"):
        return
    name = _dotted(ir, names, paths) if isinstance(ir[0], str) else None
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


# --- truth


def always(expr: Expr) -> bool | None:
    """True or False where the expression gives that whatever it reads; None where it depends."""
    return _always(expr.ir)


def _always(ir: Ir) -> bool | None:
    tag = ir[0]
    if tag == "c":
        return bool(ir[1])
    if tag in ("not", "b"):
        inner = _always(ir[1])
        return inner if inner is None or tag == "b" else not inner
    if tag in ("and", "or"):
        absorbing = tag == "or"
        known = [_always(part) for part in ir[1]]
        if absorbing in known or all(value is not None for value in known):
            return (absorbing in known) is absorbing
        pairs = itertools.combinations(ir[1], 2)
        opposite = any(_negation(a) == b or a == _negation(b) for a, b in pairs)
        return absorbing if opposite else None
    if tag == "cmp" and ir[2][0] == ir[3][0] == "c":
        return _fold(ir[1], ir[2][1], ir[3][1])
    if tag == "cmp" and ir[2] == ir[3] and ir[4] == "plain":
        return ir[1] in ("==", "<=", ">=")
    if tag == "in" and ir[1][0] == "c" and isinstance(ir[2][1], list):
        return bool(ir[1][1] in ir[2][1])
    return None


def _fold(op: str, a: Any, b: Any) -> bool:
    ordered = {"<": operations.lt, "<=": operations.le, ">": operations.gt, ">=": operations.ge}
    return bool(a == b) if op == "==" else bool(a != b) if op == "!=" else ordered[op](a, b)


def negation_of(a: Expr, b: Expr) -> bool:
    """Whether `b` holds exactly where `a` does not, as far as their forms tell."""
    return a.scope == b.scope and (_normal(_negation(a.ir)) == _normal(b.ir))


def _negation(ir: Ir) -> Ir:
    tag = ir[0]
    if tag == "not":
        return ir[1]
    if tag in ("and", "or"):
        return ["or" if tag == "and" else "and", [_negation(part) for part in ir[1]]]
    if tag == "cmp" and (ir[1] in ("==", "!=") or ir[4] == "plain"):
        return ["cmp", _NEGATED[ir[1]], *ir[2:]]
    return ["not", ir]


def _normal(ir: Ir) -> Ir:
    """One form for conditions that mean the same: constants right, `not` inwards, parts sorted."""
    tag = ir[0]
    if tag == "not":
        inner = _negation(ir[1])
        return inner if inner[0] == "not" else _normal(inner)
    if tag in ("and", "or"):
        return [tag, sorted((_normal(part) for part in ir[1]), key=repr)]
    if tag == "cmp" and ir[2][0] == "c":
        return ["cmp", _MIRRORED[ir[1]], ir[3], ir[2], ir[4]]
    return ir


def equals(expr: Expr) -> tuple[str, Any] | None:
    """(`key.org`, "acme") for `key.org == "acme"`; None for any other form."""
    ir = _normal(expr.ir)
    if ir[0] == "cmp" and ir[1] == "==" and ir[3][0] == "c":
        name = _dotted(ir[2], SCOPES[expr.scope], {})
        return (name, ir[3][1]) if name else None
    return None


def disjoint(a: Expr, b: Expr) -> bool:
    """Whether no request can meet both conditions. True is proven; False may only mean that it was not."""
    if a.scope != b.scope:
        return False
    both = ["and", [a.ir, b.ir]]
    if _always(both) is False or negation_of(a, b):
        return True
    cases = _cases(both)
    return cases is not None and all(_contradicts(case) for case in cases)


def _cases(ir: Ir) -> list[list[Ir]] | None:
    """The condition as alternatives, each a list of parts that all must hold; None beyond the limit."""
    ir = _normal(ir)
    if ir[0] == "or":
        found: list[list[Ir]] = []
        for part in ir[1]:
            inner = _cases(part)
            if inner is None or len(found) + len(inner) > _MAX_CASES:
                return None
            found += inner
        return found
    if ir[0] == "and":
        product: list[list[Ir]] = [[]]
        for part in ir[1]:
            inner = _cases(part)
            if inner is None or len(product) * len(inner) > _MAX_CASES:
                return None
            product = [[*left, *right] for left in product for right in inner]
        return product
    return [[ir]]


def _contradicts(parts: list[Ir]) -> bool:
    """Whether these conditions cannot all hold."""
    seen = {repr(part) for part in parts}
    if any(_always(part) is False or repr(_normal(["not", part])) in seen for part in parts):
        return True
    ranges: dict[str, Range] = {}
    for part in parts:
        bounds = _bounds(part)
        if bounds is not None:
            key, one = bounds
            if not ranges.setdefault(key, Range()).narrow(one):
                return True
    return False


def _bounds(ir: Ir) -> tuple[str, Bounds] | None:
    """What a comparison with constants leaves of a field."""
    positive = ir[0] != "not"
    inner = ir if positive else ir[1]
    if inner[0] == "cmp" and inner[3][0] == "c":
        return repr(inner[2]), Bounds(inner[1], (inner[3][1],)) if positive else Bounds(
            _NEGATED[inner[1]], (inner[3][1],)
        )
    if inner[0] == "in" and inner[2][0] == "c" and isinstance(inner[2][1], list):
        return repr(inner[1]), Bounds("==" if positive else "!=", tuple(inner[2][1]))
    if inner[0] == "call" and inner[1] == "starts_with" and inner[2][1][0] == "c" and positive:
        return repr(inner[2][0]), Bounds("prefix", (inner[2][1][1],))
    return None
