"""Jinja2's tree to typed IR: only what is listed here compiles, and every name is one that was declared.

Each method takes one kind of node and gives a `Typed`. The first fault of an expression ends it (`Refused`),
because what follows from a wrong operand is noise. The IR is nested JSON lists; `plan/code.py` says what each
means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import nodes

from engine.compiler.expr.context import ELSEWHERE, Scope
from engine.compiler.expr.invoke import Invoke
from engine.compiler.expr.lexer import Parsed, Refused
from engine.compiler.expr.operators import Operators
from engine.compiler.expr.typed import Local, Typed, begin_of, depth_of
from engine.compiler.expr.types import ANY, NULL, NUMBER, STRING, T, fields_of, join, list_of, map_of
from engine.compiler.suggest import did_you_mean
from engine.plan.scopes import WIRE_PARAMETERS

MAX_DEPTH: Final = 40


@dataclass
class Checker(Operators, Invoke):
    """Checks the expressions of one scope. `locals` are the names that `$for` and `$let` brought in."""

    scope: Scope
    locals: dict[str, Local] = field(default_factory=dict)
    parsed: Parsed = field(init=False)
    _now: Any = None

    def check(self, parsed: Parsed) -> Typed:
        """The typed IR of a parsed expression. Raises `Refused`."""
        self.parsed = parsed
        found = self.expr(parsed.tree)
        if depth_of(found.ir) > MAX_DEPTH:
            raise Refused("E314", "the expression is nested too deeply", 0, help="split it into several")
        return found

    def expr(self, node: Any) -> Typed:
        """One node of any kind."""
        method: Callable[[Any], Typed] | None = _METHODS.get(type(node).__name__, lambda _: None)(self)
        if method is None:
            raise Refused("E320", f"{_shown(node)} is not part of the language", begin_of(node))
        return method(node)

    def end(self, begin: int) -> int:
        return self.parsed.ends.get(begin, begin + 1)

    # --- leaves

    def const(self, node: nodes.Const) -> Typed:
        value = node.value
        kinds: dict[type, T] = {
            bool: T("bool"),
            int: T("number", whole=True),
            float: NUMBER,
            type(None): NULL,
        }
        if isinstance(value, str):
            return Typed(["c", value], T("string", values=(value,)), node.lineno)
        return Typed(["c", value], kinds[type(value)], node.lineno)

    def name(self, node: nodes.Name) -> Typed:
        name, at = node.name, node.lineno
        if name in self.locals:
            local = self.locals[name]
            return Typed(["l", local.index], local.type, at, local.path)
        if name in self.scope.names:
            parameter, field_name = self.scope.names[name]
            view = self.scope.types[parameter]
            reach = "a" if view.access == "attr" else "f"
            ir = [reach, ["p", self.scope.parameters.index(parameter)], field_name]
            return Typed(ir, fields_of(view.name)[field_name], at)
        if name in self.scope.types and not (self.scope.strict and name == "clock"):
            wire: list[Any] | None = [] if (self.scope.name, name) in WIRE_PARAMETERS else None
            return Typed(["p", self.scope.parameters.index(name)], self.scope.types[name], at, wire)
        raise self.unknown(name, at)

    def unknown(self, name: str, at: int) -> Refused:
        """Why `name` means nothing here."""
        end = self.end(at)
        if name.startswith("_"):
            return Refused("E313", f"`{name}`: names do not begin with `_`", at, end)
        if name in ELSEWHERE and self.scope.strict:
            hint = f"`{name}` exists {ELSEWHERE[name]}"
            return Refused("E319", f"`{name}` means nothing here", at, end, hint)
        visible = [*self.locals, *self.scope.visible()]
        special = {"null": "write `none`", "undefined": "write `x is defined`", "True": "write `true`"}.get(
            name
        )
        near = did_you_mean(name, visible)
        if special is None and self.scope.strict and name in _FIELD_HOME:
            special = f"write `{_FIELD_HOME[name]}.{name}`"
        hint = special or (f"did you mean `{near}`?" if near else f"names here: {', '.join(visible)}")
        if near and not special:
            hint += f" Names here: {', '.join(visible)}"
        quoted = f'; a text needs quotes: "{name}"' if not near and not special else ""
        return Refused("E301", f"nothing is named `{name}`", at, end, hint + quoted)

    def listing(self, node: nodes.List | nodes.Tuple) -> Typed:
        items = [self.expr(item) for item in node.items]
        element: T | None = None
        for item in items:
            element = item.type.present() if element is None else join(element, item.type.present())
        return Typed(["list", [i.ir for i in items]], list_of(element or ANY), node.lineno)

    def mapping(self, node: nodes.Dict) -> Typed:
        pairs: list[tuple[str, Typed]] = []
        for pair in node.items:
            key = self.expr(pair.key)
            if key.ir[0] != "c" or not isinstance(key.ir[1], str):
                raise Refused("E305", "a key of a map is a text", key.begin, self.end(key.begin))
            pairs.append((key.ir[1], self.expr(pair.value)))
        element = ANY
        if pairs:
            element = pairs[0][1].type
            for _, value in pairs[1:]:
                element = join(element, value.type)
        return Typed(["map", [[k, v.ir] for k, v in pairs]], map_of(element), node.lineno)

    # --- reaching into values

    def getattr(self, node: nodes.Getattr) -> Typed:
        asked = node.node
        if self.scope.budgets is not None and isinstance(asked, nodes.Call):
            function = asked.node
            if isinstance(function, nodes.Name) and function.name == "budget":
                return self.budget(asked, node.attr)
        owner = self.expr(node.node)
        at = node.lineno + 1
        while self.parsed.text[at : at + 1].isspace():
            at += 1
        return self.field(owner, node.attr, at)

    def field(self, owner: Typed, name: str, at: int) -> Typed:
        """`owner.name`, the name standing at offset `at`."""
        end = self.end(at)
        if name.startswith("_"):
            raise Refused("E313", f"`{name}`: fields do not begin with `_`", at, end)
        kind = owner.type.kind
        if kind == "struct":
            return self.struct_field(owner, name, at)
        if kind == "map":
            return self.map_field(owner, name, at)
        if kind in ("any", "null"):
            path = None if owner.path is None else [*owner.path, name]
            return Typed(["g", owner.ir, name], ANY, owner.begin, path)
        hint = "take an element first: `[0]`, or `| first`" if kind == "list" else None
        raise Refused("E302", f"{owner.type} has no field `{name}`", at, end, hint)

    def struct_field(self, owner: Typed, name: str, at: int) -> Typed:
        fields = fields_of(owner.type.name)
        end = self.end(at)
        if name not in fields:
            methods = {"request view": ("has", "header")}.get(owner.type.name, ())
            if name in methods:
                example = 'request.has("image")' if name == "has" else 'request.header("x-team")'
                raise Refused("E302", f"`{name}` is asked with an argument", at, end, f"write `{example}`")
            near = did_you_mean(name, [*fields, *methods])
            known = f"its fields: {', '.join([*fields, *methods])}"
            hint = f"did you mean `{near}`? {known[0].upper()}{known[1:]}" if near else known
            raise Refused("E302", f"`{owner.type.name.split()[0]}` has no field `{name}`", at, end, hint)
        kind = fields[name]
        if owner.type.access == "attr":
            if owner.type.name == "key view" and name == "org" and self.scope.orgs is not None:
                kind = T("string", values=(*self.scope.orgs, ""))
            return Typed(["a", owner.ir, name], kind, owner.begin)
        if owner.type.access == "entry":
            return Typed(["f", owner.ir, name], kind, owner.begin)
        path = None if owner.path is None else [*owner.path, name]
        return Typed(["g" if owner.type.absent else "f", owner.ir, name], kind.maybe(), owner.begin, path)

    def map_field(self, owner: Typed, name: str, at: int) -> Typed:
        item = owner.type.item or ANY
        if owner.ir[0] == "a":  # key.tags and request.metadata: a missing one is the empty text
            kind = self.tag(name, at) if owner.ir[2] == "tags" else item
            return Typed(["fd", owner.ir, name, ""], kind, owner.begin)
        if owner.ir[0] == "p" and self.scope.parameters[owner.ir[1]] == "headers":
            name = name.lower()
        path = None if owner.path is None else [*owner.path, name]
        return Typed(["g" if owner.type.absent else "f", owner.ir, name], item.maybe(), owner.begin, path)

    def tag(self, name: str, at: int) -> T:
        declared = self.scope.tags
        if declared is None:
            return STRING
        if name not in declared:
            near = did_you_mean(name, declared)
            known = f"declared under `keys.tags`: {', '.join(sorted(declared)) or 'none'}"
            hint = f"did you mean `{near}`? {known[0].upper()}{known[1:]}" if near else known
            hyphen = self.parsed.text[self.end(at) : self.end(at) + 1] == "-"
            if hyphen:
                raise self.hyphen(at)
            raise Refused("E303", f"no client key can have the tag `{name}`", at, self.end(at), hint)
        values = declared[name]
        return STRING if values is None else T("string", values=(*values, ""))

    def hyphen(self, at: int) -> Refused:
        """A name with `-` in it, which reads as a subtraction."""
        text = self.parsed.text
        end = at
        while end < len(text) and (text[end].isalnum() or text[end] in "_-"):
            end += 1
        name = text[at:end]
        hint = f"rename it to `{name.replace('-', '_')}`: names in expressions are of a-z, 0-9 and `_`"
        return Refused("E317", f"`{name}` reads as a subtraction, because `-` is minus", at, end, hint)

    def getitem(self, node: nodes.Getitem) -> Typed:
        owner = self.expr(node.node)
        if isinstance(node.arg, nodes.Slice | nodes.Tuple):
            raise Refused("E320", "slices are not part of the language", node.lineno)
        key = self.expr(node.arg)
        if key.ir[0] == "c" and isinstance(key.ir[1], str) and owner.type.kind != "list":
            return (
                self.field(owner, key.ir[1], key.begin)
                if not key.ir[1].startswith("_")
                else self.item(owner, key)
            )
        return self.item(owner, key)

    def item(self, owner: Typed, key: Typed) -> Typed:
        """`owner[key]` with a key that is known when it runs, or an index."""
        kind = owner.type.kind
        wanted = {"list": "number", "map": "string"}.get(kind)
        if kind in ("struct", "string", "number", "bool"):
            raise Refused(
                "E302", f"{owner.type} has no elements to take by a key", key.begin, self.end(key.begin)
            )
        if wanted and key.type.kind not in (wanted, "any"):
            message = f"an index of {owner.type} is {'a number' if wanted == 'number' else 'a text'}"
            raise Refused("E305", message, key.begin, self.end(key.begin))
        path = [*owner.path, key.ir[1]] if owner.path is not None and key.ir[0] == "c" else None
        item = owner.type.item or ANY
        return Typed(["i", owner.ir, key.ir], item.maybe(), owner.begin, path)

    # --- choosing

    def cond(self, node: nodes.CondExpr) -> Typed:
        test = self.truth(self.expr(node.test), "if")
        first = self.expr(node.expr1)
        second = Typed(["c", None], NULL, first.begin) if node.expr2 is None else self.expr(node.expr2)
        if (
            self.scope.strict
            and "null" not in (first.type.kind, second.type.kind)
            and first.type.kind != second.type.kind
        ):
            message = f"`if`/`else` gives {first.type} or {second.type}"
            raise Refused("E311", message, second.begin, self.end(second.begin), "make both of one type")
        return Typed(
            ["?", test.ir, first.ir, second.ir], join(first.type, second.type), first.begin, first.path
        )


_FIELD_HOME: Final = {
    "model": "request", "stream": "request", "user": "request", "text": "request", "input_tokens": "request",
    "max_output_tokens": "request", "metadata": "request", "conversation": "request", "operation": "request",
    "dialect": "request", "tags": "key", "org": "key", "id": "key",
}  # fmt: skip


def _shown(node: Any) -> str:
    known = {"Pow": "`**` (power)", "Slice": "a slice"}
    return known.get(type(node).__name__, f"`{type(node).__name__.lower()}`")


_METHODS: Final[dict[str, Any]] = {
    "Const": lambda c: c.const, "Name": lambda c: c.name, "List": lambda c: c.listing,
    "Tuple": lambda c: c.listing,
    "Dict": lambda c: c.mapping, "Getattr": lambda c: c.getattr, "Getitem": lambda c: c.getitem,
    "CondExpr": lambda c: c.cond, "Compare": lambda c: c.compare, "And": lambda c: c.logic,
    "Or": lambda c: c.either,
    "Not": lambda c: c.negate, "Add": lambda c: c.arithmetic, "Sub": lambda c: c.arithmetic,
    "Mul": lambda c: c.arithmetic, "Div": lambda c: c.arithmetic, "FloorDiv": lambda c: c.arithmetic,
    "Mod": lambda c: c.arithmetic, "Pow": lambda c: c.power, "Neg": lambda c: c.sign, "Pos": lambda c: c.sign,
    "Concat": lambda c: c.concat, "Filter": lambda c: c.filter, "Test": lambda c: c.test,
    "Call": lambda c: c.call,
}  # fmt: skip
