"""Operators: comparisons, logic and arithmetic, and the traps that people fall into with them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from jinja2 import nodes

from engine.compiler.expr.context import Scope
from engine.compiler.expr.lexer import Parsed, Refused
from engine.compiler.expr.typed import Typed, begin_of
from engine.compiler.expr.types import ANY, BOOL, NUMBER, STRING, T, join, same_kind
from engine.compiler.suggest import did_you_mean

_SIGNS: Final = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="}
_MATH: Final = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "FloorDiv": "//", "Mod": "%"}


class Operators:
    """The part of `Checker` for operators."""

    scope: Scope
    parsed: Parsed

    def expr(self, node: Any) -> Typed:
        raise NotImplementedError  # Checker's

    def end(self, begin: int) -> int:
        raise NotImplementedError  # Checker's

    def hyphen(self, at: int) -> Refused:
        raise NotImplementedError  # Checker's

    # --- comparisons

    def compare(self, node: nodes.Compare) -> Typed:
        left = self.expr(node.expr)
        if len(node.ops) > 1:
            at = begin_of(node.ops[1].expr)
            raise Refused("E320", "comparisons do not chain", at, self.end(at), "write `a < b and b < c`")
        op, right_node = node.ops[0].op, node.ops[0].expr
        right = self.expr(right_node)
        if op in ("in", "notin"):
            found = self.member(left, right)
            return found if op == "in" else Typed(["not", found.ir], BOOL, left.begin)
        sign = _SIGNS[op]
        if "null" in (left.type.kind, right.type.kind):
            return self.compare_none(left, sign, right)
        if not same_kind(left.type, right.type):
            message = f"`{sign}` compares {left.type} with {right.type}, which are never equal"
            raise Refused("E305", message, right.begin, self.end(right.begin), self.retype(left, right))
        if sign in ("==", "!="):
            self.possible(left, right)
            self.possible(right, left)
            return Typed(["cmp", sign, left.ir, right.ir, "plain"], BOOL, left.begin)
        for side in (left, right):
            if side.type.kind not in ("number", "any"):
                message = f"`{sign}` orders numbers, and this is {side.type}"
                raise Refused("E305", message, side.begin, self.end(side.begin))
        known = left.type.kind == right.type.kind == "number"
        mode = "any" if not known else "opt" if left.type.absent or right.type.absent else "plain"
        return Typed(["cmp", sign, left.ir, right.ir, mode], BOOL, left.begin)

    def compare_none(self, left: Typed, sign: str, right: Typed) -> Typed:
        side = left if right.type.kind == "null" else right
        if sign not in ("==", "!="):
            raise Refused("E305", f"`{sign}` cannot order `none`", side.begin, self.end(side.begin))
        if not side.type.absent:
            message = f"this is always {side.type}, never `none`"
            hint = 'an absent text is "" here' if side.type.kind == "string" else None
            raise Refused("E305", message, side.begin, self.end(side.begin), hint)
        return Typed(["is", "none" if sign == "==" else "defined", side.ir], BOOL, left.begin)

    def retype(self, left: Typed, right: Typed) -> str | None:
        """What was probably meant by a comparison of two types."""
        if left.type.kind == "string" and right.ir[0] == "c":
            return f'a text needs quotes: "{self.source(right)}"'
        if left.type.kind == "number" and right.type.kind == "string":
            return "write the number without quotes, as 20k or 0.5"
        if left.type.kind == "bool":
            return "it is true or false by itself: leave the comparison out"
        return None

    def source(self, side: Typed) -> str:
        return self.parsed.text[side.begin : self.end(side.begin)]

    def possible(self, side: Typed, other: Typed) -> None:
        """A literal that the other side can never be is a typo."""
        if side.ir[0] != "c" or not isinstance(side.ir[1], str):
            return
        values = other.type.values
        if values is None or side.ir[1] in values or other.ir[0] == "c":
            return
        near = did_you_mean(side.ir[1], values)
        known = f"it is one of: {', '.join(v for v in values if v)}"
        hint = f'did you mean "{near}"? {known[0].upper()}{known[1:]}' if near else known
        raise Refused("E322", f'it is never "{side.ir[1]}"', side.begin, self.end(side.begin), hint)

    def member(self, left: Typed, right: Typed) -> Typed:
        kind = right.type.kind
        if kind == "list":
            if right.ir[0] == "list" and all(item[0] == "c" for item in right.ir[1]):
                return self.member_of_literals(left, right)
            element = right.type.item or ANY
            if not same_kind(left.type, element):
                message = f"the list holds {element}, and this is {left.type}"
                raise Refused("E305", message, left.begin, self.end(left.begin))
        elif kind == "string":
            if left.type.kind not in ("string", "any"):
                raise Refused(
                    "E305", f"`in` a text looks for a text, not {left.type}", left.begin, self.end(left.begin)
                )
        elif kind not in ("map", "any", "struct"):
            hint = 'write a list: `in ("a", "b")`'
            raise Refused(
                "E305", f"`in` looks into a list or a text, not {right.type}", right.begin, None, hint
            )
        return Typed(["in", left.ir, right.ir], BOOL, left.begin)

    def member_of_literals(self, left: Typed, right: Typed) -> Typed:
        values = [item[1] for item in right.ir[1]]
        kind = left.type.kind
        for value in values:
            if kind in ("string", "bool", "number") and kind != _kind_of(value):
                raise Refused("E305", f"{left.type} is never `{value}`", right.begin)
            if isinstance(value, str):
                self.possible(Typed(["c", value], STRING, right.begin), left)
        return Typed(["in", left.ir, ["c", values]], BOOL, left.begin)

    # --- logic

    def truth(self, side: Typed, word: str) -> Typed:
        """An operand where a condition stands."""
        if side.type.kind == "bool" and not side.type.absent:
            return side
        if not self.scope.strict:
            return Typed(["b", side.ir], BOOL, side.begin, side.path)
        hint = {"string": f'compare it: `{self.source(side)} != ""`', "number": "compare it: `> 0`"}.get(
            side.type.kind
        )
        raise Refused(
            "E305",
            f"`{word}` needs a condition, and this is {side.type}",
            side.begin,
            self.end(side.begin),
            hint,
        )

    def logic(self, node: nodes.And) -> Typed:
        parts = _flat(node, nodes.And)
        self.trap(parts, "and")
        sides = [self.truth(self.expr(part), "and") for part in parts]
        return Typed(["and", [side.ir for side in sides]], BOOL, sides[0].begin)

    def negate(self, node: nodes.Not) -> Typed:
        side = self.truth(self.expr(node.node), "not")
        return Typed(["not", side.ir], BOOL, int(node.lineno))

    def trap(self, parts: list[Any], word: str) -> None:
        """`x == "a" or "b"`: the second text is a value of its own, always true."""
        for before, part in pairwise(parts):
            literal = isinstance(part, nodes.Const) and not isinstance(part.value, bool)
            compared = isinstance(before, nodes.Compare) and before.ops[0].op in ("eq", "ne", "in")
            if literal and compared:
                at = int(part.lineno)
                name = self.parsed.text[begin_of(before) : begin_of(before.ops[0].expr)].rstrip("=!in( \t")
                old = self.parsed.text[begin_of(before.ops[0].expr) : self.end(begin_of(before.ops[0].expr))]
                new = self.parsed.text[at : self.end(at)]
                hint = f"write `{name} in ({old}, {new})`"
                raise Refused(
                    "E307",
                    f"`{word} {new}` stands alone: it is compared with nothing",
                    at,
                    self.end(at),
                    hint,
                )

    def either(self, node: nodes.Or) -> Typed:
        parts = _flat(node, nodes.Or)
        self.trap(parts, "or")
        sides = [self.expr(part) for part in parts]
        if all(side.type.kind == "bool" for side in sides):
            sides = [self.truth(side, "or") for side in sides]
            return Typed(["or", [side.ir for side in sides]], BOOL, sides[0].begin)
        result = sides[0].type
        for side in sides[1:]:
            self.mixes(sides[0], side)
            result = join(result, side.type)
        result = result.present() if not sides[-1].type.absent else result.maybe()
        return Typed(["or", [side.ir for side in sides]], result, sides[0].begin, sides[0].path)

    def mixes(self, first: Typed, side: Typed) -> None:
        if not same_kind(first.type, side.type):
            message = f"`or` between {first.type} and {side.type}"
            hint = "both sides are conditions, or both are texts (the first that is not empty counts)"
            raise Refused("E311", message, side.begin, self.end(side.begin), hint)
        if first.type.kind == "number" and side.type.kind == "number":
            hint = "write `a | default(b)`" if not self.scope.strict else "compare each: `a > 0 or b > 0`"
            raise Refused(
                "E311", "`or` between numbers would pass over 0", side.begin, self.end(side.begin), hint
            )

    # --- arithmetic

    def arithmetic(self, node: Any) -> Typed:
        op = _MATH[type(node).__name__]
        left = self.expr(node.left)
        if op == "-" and isinstance(node.right, nodes.Name):
            self.subtracts_name(node, left)
        right = self.expr(node.right)
        texts = [side for side in (left, right) if side.type.kind not in ("number", "any")]
        if op == "+" and left.type.kind == right.type.kind == "list":
            return Typed(["call", "concat", [left.ir, right.ir]], join(left.type, right.type), left.begin)
        if texts:
            side = texts[0]
            code = "E314" if op == "*" else "E305"
            hint = "put texts together with `~`" if op == "+" and side.type.kind == "string" else None
            raise Refused(
                code, f"`{op}` needs numbers, and this is {side.type}", side.begin, self.end(side.begin), hint
            )
        known = (
            left.type.kind == right.type.kind == "number" and not left.type.absent and not right.type.absent
        )
        plain = known and op in "+-*"
        result = T("number", whole=left.type.whole and right.type.whole and op != "/", absent=not plain)
        return Typed(["op", op, left.ir, right.ir, "plain" if plain else "any"], result, left.begin)

    def subtracts_name(self, node: Any, left: Typed) -> None:
        """`key.tags.my-tag`: a name glued on with `-` that nobody declared."""
        at = int(node.right.lineno)
        glued = self.parsed.text[at - 1 : at] == "-" and self.parsed.text[at - 2 : at - 1].isidentifier()
        known = node.right.name in self.scope.types or node.right.name in self.scope.names
        if glued and (left.type.kind == "string" or not known):
            begin = at - 1
            while begin and (self.parsed.text[begin - 1].isalnum() or self.parsed.text[begin - 1] in "_-"):
                begin -= 1
            raise self.hyphen(begin)

    def power(self, node: nodes.Pow) -> Typed:
        at = begin_of(node.right)
        raise Refused(
            "E314", "`**` (power) is not part of the language", at, self.end(at), "write the number itself"
        )

    def sign(self, node: nodes.Neg | nodes.Pos) -> Typed:
        side = self.expr(node.node)
        if side.type.kind not in ("number", "any"):
            raise Refused(
                "E305", f"a sign stands before a number, not {side.type}", side.begin, self.end(side.begin)
            )
        if isinstance(node, nodes.Pos):
            return Typed(side.ir, side.type, int(node.lineno))
        if side.ir[0] == "c" and side.ir[1] is not None:
            return Typed(["c", -side.ir[1]], side.type, int(node.lineno))
        mode = "plain" if side.type.kind == "number" and not side.type.absent else "any"
        kind = side.type if mode == "plain" else NUMBER.maybe()
        return Typed(["op", "-", ["c", 0], side.ir, mode], kind, int(node.lineno))

    def concat(self, node: nodes.Concat) -> Typed:
        sides = [self.expr(part) for part in node.nodes]
        for side in sides:
            if side.type.kind not in ("string", "number", "any"):
                raise Refused("E305", f"`~` joins texts, not {side.type}", side.begin, self.end(side.begin))
        kind = STRING.maybe() if any(side.type.absent for side in sides) else STRING
        return Typed(["cat", [side.ir for side in sides]], kind, sides[0].begin)


def _kind_of(value: Any) -> str:
    """The kind of a literal."""
    return "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _flat(node: Any, kind: type) -> list[Any]:
    """`a and b and c` as its operands; Jinja2 nests them to the left."""
    parts: list[Any] = []
    while isinstance(node, kind):
        parts.append(node.right)  # type: ignore[attr-defined]  # both And and Or are BinExpr
        node = node.left  # type: ignore[attr-defined]
    parts.append(node)
    return parts[::-1]
