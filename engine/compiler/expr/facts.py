"""What is known of a compiled condition without running it: that it always holds, or never with another one.

All answers are from the IR. `disjoint`, `negation_of` and `always` say yes only where it is proven.
"""

from __future__ import annotations

import itertools
from typing import Any, Final

from engine.compiler.expr.fields import dotted
from engine.compiler.expr.ranges import Bounds, Range
from engine.plan import operations
from engine.plan.scopes import SCOPES
from engine.plan.values import Expr

Ir = Any

_NEGATED: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
#: Alternatives of a condition looked at by `disjoint`: beyond this nothing is proven.
_MAX_CASES: Final = 64


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
        name = dotted(ir[2], SCOPES[expr.scope], {})
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
