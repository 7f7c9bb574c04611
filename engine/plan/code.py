"""IR to Python functions: straight-line source, made once per plan, compiled, and cached by the IR.

The source contains fixed syntax, names made here (`p0`, `v3`, `t1`), field names and constants as `repr()` of
checked JSON scalars: nothing a user wrote becomes code. Absent is None everywhere inside. The IR of an
expression:

    ["c", x]            a constant (a list of scalars after `in`)
    ["p", n] ["l", n]   parameter n, local variable n of a template
    ["a", o, name]      attribute of a view
    ["f", o, name]      entry of something known to be a map;  ["fd", o, name, d]  with a default
    ["g", o, name]      entry of anything: absent where it is no map
    ["i", o, key]       entry or element by a computed key
    ["m", o, name, as]  method of a view: has, header, between, budget_used
    ["and", xs] ["or", xs] ["not", x] ["b", x]   logic; `or`: the first operand that is true; `b`: its truth
    ["cmp", op, a, b, mode] ["op", op, a, b, mode]   `plain`: both known to be there and numbers; `opt`: maybe
                        absent; `any`: anything
    ["in", a, b] ["is", test, x] ["?", c, a, b] ["cat", xs] ["list", xs] ["map", [[key, x], ...]]
    ["call", name, xs]  a function of `functions.TABLE`
    ["req", x, path]    x, or `WireTypeError` where the field is missing
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from engine.plan import functions
from engine.plan.hoisting import key_of
from engine.plan.operations import NAMESPACE, WireTypeError
from engine.plan.scopes import SCOPES, WIRE_PARAMETERS
from engine.plan.values import Expr, Template

__all__ = ["WireTypeError", "bind_expr", "bind_template", "expression_source", "template_source"]

Bound = Callable[..., Any]

#: What generated functions see, shared by all of them: a plan may have ten thousand.
_SPACE: Final[dict[str, Any]] = {"__builtins__": {}, **NAMESPACE}

_METHODS: Final = frozenset({"has", "header", "between", "budget_used"})
_COMPARE: Final = {"==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_HELPERS: Final = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_MATH: Final = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod"}


def bind_expr(expr: Expr) -> Bound:
    """The function of an expression; its positional parameters are those of the scope."""
    return _bound("e", expr.scope, _canonical(expr.ir))


def bind_template(template: Template) -> Bound:
    """The function of a template; it gives the JSON made, or None where nothing is left."""
    return _bound("t", template.scope, _canonical(template.ir))


def expression_source(scope: str, ir: Any) -> str:
    """The Python source of an expression, for reading."""
    return _expression(scope, ir)[0]


def template_source(scope: str, ir: Any) -> str:
    """The Python source of a template, for reading."""
    from engine.plan.templates import template_code  # that module builds on this one

    return template_code(scope, ir)[0]


def _canonical(ir: Any) -> str:
    return json.dumps(ir, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=8192)
def _bound(kind: str, scope: str, text: str) -> Bound:
    ir = json.loads(text)
    if kind == "e":
        source, constants = _expression(scope, ir)
    else:
        from engine.plan.templates import template_code  # that module builds on this one

        source, constants = template_code(scope, ir)
    made: dict[str, Bound] = {}
    space = {**_SPACE, **constants} if constants else _SPACE
    exec(compile(source, f"<{scope}>", "exec"), space, made)  # noqa: S102 - made of checked IR only
    return made["f"]


def _expression(scope: str, ir: Any) -> tuple[str, dict[str, Any]]:
    code = Code()
    names = SCOPES[scope]
    lines = [f"def f({', '.join(f'p{n}' for n in range(len(names)))}):"]
    for number, name in enumerate(names):
        if (scope, name) in WIRE_PARAMETERS:
            lines.append(f" if p{number}.__class__ is not dict: p{number} = {{}}")
    return "\n".join([*lines, f" return {code.value(ir)}", ""]), code.constants


class Code:
    """Writes expressions as Python source. `constants` are the objects it needs by name: patterns, sets."""

    def __init__(self) -> None:
        self.temporaries = 0
        self.constants: dict[str, Any] = {}
        self.maps: set[str] = set()  # variables that hold a map, where that is known
        self.shared: dict[str, str] = {}  # `key_of` an owner -> the variable that has its map

    def temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries}"

    def value(self, ir: Any) -> str:
        """Python source for the value of `ir`, safe to put anywhere."""
        found: str = getattr(self, _WRITERS[ir[0]])(*ir[1:])
        return found

    def condition(self, ir: Any) -> str:
        """The same where only its truth counts."""
        while ir[0] == "b":
            ir = ir[1]
        return self.value(ir)

    # --- one method a tag

    def constant(self, value: Any) -> str:
        if isinstance(value, list):
            return f"({''.join(self.constant(item) + ', ' for item in value)})"
        return scalar(value)

    def parameter(self, number: int) -> str:
        return f"p{int(number)}"

    def local(self, number: int) -> str:
        return f"v{int(number)}"

    def attribute(self, owner: Any, name: str) -> str:
        return f"{self.value(owner)}.{identifier(name)}"

    def entry(self, owner: Any, name: str) -> str:
        return f"{self.value(owner)}.get({scalar(name)})"

    def entry_or(self, owner: Any, name: str, other: Any) -> str:
        return f"{self.value(owner)}.get({scalar(name)}, {scalar(other)})"

    def guarded(self, owner: Any, name: str) -> str:
        shared = self.shared.get(key_of(owner)) if self.shared else None
        if shared is not None:
            return f"{shared}.get({scalar(name)})"
        if owner[0] == "l":
            var = self.value(owner)
            if var in self.maps:
                return f"{var}.get({scalar(name)})"
            return f"({var}.get({scalar(name)}) if {var}.__class__ is dict else None)"
        var = self.temporary()
        return f"({var}.get({scalar(name)}) if ({var} := {self.value(owner)}).__class__ is dict else None)"

    def item(self, owner: Any, key: Any) -> str:
        if key == ["c", 0] and key[1] is not False:
            var = self.temporary()
            return f"({var}[0] if ({var} := {self.value(owner)}).__class__ is list and {var} else None)"
        return f"item({self.value(owner)}, {self.value(key)})"

    def method(self, owner: Any, name: str, args: list[Any]) -> str:
        if name not in _METHODS:
            raise ValueError(f"no method {name!r}")
        return f"{self.value(owner)}.{name}({', '.join(self.value(arg) for arg in args)})"

    def both(self, parts: list[Any]) -> str:
        return f"({' and '.join(self.value(part) for part in parts)})"

    def either(self, parts: list[Any]) -> str:
        return f"({' or '.join(self.value(part) for part in parts)})"

    def negation(self, part: Any) -> str:
        return f"(not {self.condition(part)})"

    def truth(self, part: Any) -> str:
        return f"(not not {self.condition(part)})"

    def comparison(self, op: str, a: Any, b: Any, mode: str) -> str:
        sign = _COMPARE[op]
        if mode == "plain":
            return f"({self.value(a)} {sign} {self.value(b)})"
        if mode == "any":
            return f"{_HELPERS[op]}({self.value(a)}, {self.value(b)})"
        checks: list[str] = []
        sides = []
        for side in (a, b):
            if side[0] == "c":
                sides.append(self.value(side))
                continue
            var = self.temporary()
            checks.append(f"({var} := {self.value(side)}) is not None")
            sides.append(var)
        return f"({' and '.join([*checks, f'{sides[0]} {sign} {sides[1]}'])})"

    def arithmetic(self, op: str, a: Any, b: Any, mode: str) -> str:
        if mode == "plain" and op in ("+", "-", "*"):
            return f"({self.value(a)} {op} {self.value(b)})"
        return f"{_MATH[op]}({self.value(a)}, {self.value(b)})"

    def member(self, a: Any, b: Any) -> str:
        if b[0] == "c" and isinstance(b[1], list):
            return f"({self.value(a)} in {self.value(b)})"
        return f"member({self.value(a)}, {self.value(b)})"

    def test(self, name: str, part: Any) -> str:
        value = self.value(part)
        checks = {
            "none": f"({value} is None)", "defined": f"({value} is not None)",
            "string": f"({value}.__class__ is str)", "boolean": f"({value}.__class__ is bool)",
            "mapping": f"({value}.__class__ is dict)", "list": f"({value}.__class__ is list)",
            "number": f"is_number({value})",
        }  # fmt: skip
        return checks[name]

    def choice(self, test: Any, a: Any, b: Any) -> str:
        return f"({self.value(a)} if {self.condition(test)} else {self.value(b)})"

    def concat(self, parts: list[Any]) -> str:
        return f"text({', '.join(self.value(part) for part in parts)})"

    def list_of(self, parts: list[Any]) -> str:
        return f"listed({', '.join(self.value(part) for part in parts)})"

    def map_of(self, pairs: list[Any]) -> str:
        return f"mapped({', '.join(f'({scalar(key)}, {self.value(part)})' for key, part in pairs)})"

    def call(self, name: str, args: list[Any]) -> str:
        if name not in functions.TABLE:
            raise ValueError(f"no function {name!r}")
        written = [self.value(arg) for arg in args]
        if name == "default":
            var = self.temporary()
            return f"({var} if ({var} := {written[0]}) is not None else {written[1]})"
        if name in ("matches", "replace", "find_text"):
            written[1] = self.pattern(args[1][1])
        return f"F_{identifier(name)}({', '.join(written)})"

    def pattern(self, text: str) -> str:
        name = f"R{len(self.constants)}"
        self.constants[name] = functions.regex(text)
        return name

    def required(self, part: Any, path: list[Any]) -> str:
        var = self.temporary()
        return f"({var} if ({var} := {self.value(part)}) is not None else missing({self.path(path)}))"

    def path(self, steps: list[Any]) -> str:
        """A wire path as a tuple; the indexes of loops are read from their variables."""
        written = [self.value(step) if isinstance(step, list) else scalar(step) for step in steps]
        return f"({''.join(step + ', ' for step in written)})"


def scalar(value: Any) -> str:
    """A JSON scalar as Python source; nothing else passes."""
    if value is None or value is True or value is False or value.__class__ in (str, int):
        return repr(value)
    if value.__class__ is float and math.isfinite(value):
        return repr(value)
    raise ValueError(f"not a JSON scalar: {value!r}")


def identifier(name: Any) -> str:
    """A name of ours as Python source; the check is the last of several."""
    if isinstance(name, str) and name.isascii() and name.isidentifier() and not name.startswith("_"):
        return name
    raise ValueError(f"not a name: {name!r}")


_WRITERS: Final[dict[str, str]] = {
    "c": "constant", "p": "parameter", "l": "local", "a": "attribute", "f": "entry", "fd": "entry_or",
    "g": "guarded", "i": "item", "m": "method", "and": "both", "or": "either", "not": "negation",
    "b": "truth",
    "cmp": "comparison", "op": "arithmetic", "in": "member", "is": "test", "?": "choice", "cat": "concat",
    "list": "list_of", "map": "map_of", "call": "call", "req": "required",
}  # fmt: skip
