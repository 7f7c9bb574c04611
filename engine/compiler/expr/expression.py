"""One expression of a file: parsed, checked against its scope, and made into a plan's `Expr`."""

from __future__ import annotations

from typing import Any

from engine.compiler.expr.check import Checker
from engine.compiler.expr.context import Scope
from engine.compiler.expr.context import scope as scope_named
from engine.compiler.expr.lexer import Refused, parse
from engine.compiler.expr.place import Place
from engine.compiler.expr.typed import Typed
from engine.compiler.expr.types import BOOL, wanted
from engine.diagnostics import Diagnostics
from engine.plan.values import Expr


def compile_expression(
    text: Any, *, place: Place, scope: Scope | str, want: str = "bool", out: Diagnostics
) -> Expr | None:
    """The expression `text`, which stands at `place`, as an `Expr` of type `want`; None after a fault.

    `text` is what YAML gave: a bare `true` or `20` is an expression too. `want` is `bool`, `string`, `number`
    or `any`. In template scopes a `bool` is the truth of any value; in routes it must be a condition.
    """
    if isinstance(text, bool):
        text = "true" if text else "false"
    elif isinstance(text, int | float):
        text = repr(text)
    if not isinstance(text, str):
        out.add("E300", "an expression is a text", place.span())
        return None
    where = scope_named(scope) if isinstance(scope, str) else scope
    source, shift = unwrapped(text)
    place = place.inside(shift)
    try:
        found = wants(Checker(where).check(parse(source)), want, where)
    except Refused as refused:
        report(refused, source, place, out)
        return None
    return Expr(source, where.name, found.type.kind, found.ir)


def unwrapped(text: str) -> tuple[str, int]:
    """`${{ expr }}` where only an expression can stand, without braces; and the offset of what is inside."""
    inner = text.strip()
    if inner.startswith("${{") and inner.endswith("}}") and "${{" not in inner[3:]:
        return inner[3:-2], text.index("${{") + 3
    return text, 0


def wants(found: Typed, want: str, scope: Scope) -> Typed:
    """The expression as the type that its place needs. Raises `Refused`."""
    if want == "bool":
        if found.type.kind == "bool" and not found.type.absent:
            return found
        if not scope.strict:
            return Typed(["b", found.ir], BOOL, found.begin)
        hint = {"string": 'compare it with a text: `== "..."`', "number": "compare it with a number: `> 20k`"}
        raise Refused("E318", f"a condition is true or false, and this is {found.type}", found.begin, None,
                      hint.get(found.type.kind))  # fmt: skip
    kind = wanted(want).kind
    if kind not in ("any", found.type.kind) and found.type.kind != "any":
        raise Refused("E305", f"{wanted(want)} is needed here, and this is {found.type}", found.begin)
    return found


def report(refused: Refused, text: str, place: Place, out: Diagnostics) -> None:
    """A fault as a diagnostic; where YAML cut the text short at ` #`, that is the fault."""
    line = place.cut_line() if refused.code == "E300" else None
    if line is not None and refused.begin >= len(text.rstrip()) - 1:
        message = "YAML ends the expression here: what follows ` #` is a comment"
        place.add(out, "E321", message, refused.begin, refused.end, help=f"put it in quotes:  {line.strip()}")
        return
    end = None if refused.end is None else min(refused.end, max(len(text), refused.begin + 1))
    place.add(out, refused.code, refused.message, refused.begin, end, help=refused.help)
