"""Filters, tests, functions and the few methods: looked up, their arguments counted and typed."""

from __future__ import annotations

import re
from typing import Any, Final

from jinja2 import nodes

from engine.compiler.expr.calls import (
    COSTLY,
    FILTERS,
    FUNCTIONS,
    KEEPS_TYPE,
    METHODS,
    TAKES_ELEMENT,
    TEST_ALIASES,
    TESTS,
    Call,
)
from engine.compiler.expr.context import ABILITIES, ELSEWHERE, Scope
from engine.compiler.expr.lexer import Parsed, Refused
from engine.compiler.expr.typed import Typed, begin_of
from engine.compiler.expr.types import ANY, BOOL, NUMBER, STRING, T, join, same_kind
from engine.compiler.suggest import did_you_mean
from engine.units import UnitError, time_of_day

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


class Invoke:
    """The part of `Checker` for calls."""

    scope: Scope
    parsed: Parsed

    def expr(self, node: Any) -> Typed:
        raise NotImplementedError  # Checker's

    def end(self, begin: int) -> int:
        raise NotImplementedError  # Checker's

    def member(self, left: Typed, right: Typed) -> Typed:
        raise NotImplementedError  # Operators'

    # --- filters and tests

    def filter(self, node: nodes.Filter) -> Typed:
        assert node.node is not None  # only `{% filter %}` has none
        value = self.expr(node.node)
        if node.name == "required":
            return self.required(node, value)
        call = self.filter_named(node.name, node.lineno)
        return self.apply(node.name, call, value, self.arguments(node), node.lineno)

    def filter_named(self, name: str, at: int) -> Call:
        known = [n for n, c in FILTERS.items() if c.route or not self.scope.strict]
        if name in known:
            return FILTERS[name]
        if name in COSTLY:
            raise Refused("E314", f"`{name}` is not part of the language", at, self.end(at))
        near = METHODS.get(name) or did_you_mean(name, known)
        hint = f"did you mean `{near}`?" if near in known else f"filters here: {', '.join(sorted(known))}"
        if name in FILTERS:
            hint = "it exists in dialect and provider files only"
        raise Refused("E304", f"there is no filter `{name}`", at, self.end(at), hint)

    def required(self, node: nodes.Filter, value: Typed) -> Typed:
        at = node.lineno
        if self.arguments(node):
            raise Refused("E304", "`required` takes no argument", at, self.end(at))
        if value.path is None:
            raise Refused("E304", "`required` stands on a field read off the wire", at, self.end(at))
        return Typed(["req", value.ir, value.path], value.type.present(), value.begin, value.path)

    def test(self, node: nodes.Test) -> Typed:
        value = self.expr(node.node)
        name = TEST_ALIASES.get(node.name, node.name)
        args = self.arguments(node)
        if name == "in" and len(args) == 1:
            return self.member(value, args[0])
        if name in TESTS:
            if args:
                raise Refused(
                    "E304", f"`is {name}` takes no argument", args[0].begin, self.end(args[0].begin)
                )
            if self.scope.strict and not value.type.absent:
                message = f"this is always {value.type}"
                raise Refused("E305", message, value.begin, self.end(value.begin), "leave the test out")
            return Typed(["is", name, value.ir], BOOL, value.begin)
        call = FILTERS.get(name)
        if call is None or call.result.kind != "bool":
            known = [*TESTS, "in", *(n for n, c in FILTERS.items() if c.result.kind == "bool")]
            near = METHODS.get(name) or did_you_mean(name, known)
            hint = f"did you mean `{near}`?" if near in known else f"tests: {', '.join(known)}"
            raise Refused("E304", f"there is no test `{name}`", node.lineno, self.end(node.lineno), hint)
        return self.apply(name, call, value, args, node.lineno)

    # --- functions and methods

    def call(self, node: nodes.Call) -> Typed:
        target = node.node
        at = begin_of(target)
        if isinstance(target, nodes.Getattr):
            return self.method(node, target)
        if not isinstance(target, nodes.Name):
            raise Refused("E312", "this cannot be called", node.lineno, node.lineno + 1)
        name = target.name
        if name == "between" and self.scope.strict:
            return self.between(node, at)
        if name in ELSEWHERE and self.scope.strict:
            hint = f"`{name}` exists {ELSEWHERE[name]}"
            raise Refused("E319", f"`{name}` means nothing here", at, self.end(at), hint)
        if name in COSTLY:
            raise Refused("E314", f"`{name}()` is not part of the language", at, self.end(at))
        call = None if self.scope.strict else FUNCTIONS.get(name)
        if call is None:
            raise self.no_function(name, at)
        args = self.arguments(node)
        if not args:
            raise Refused("E304", f"`{name}()` needs an argument", at, self.end(at))
        return self.apply(name, call, args[0], args[1:], at)

    def no_function(self, name: str, at: int) -> Refused:
        known = ["between"] if self.scope.strict else list(FUNCTIONS)
        if name in FILTERS:
            shown = f"x is {name}(...)" if FILTERS[name].result.kind == "bool" else f"x | {name}"
            return Refused("E312", f"`{name}` is not called like this", at, self.end(at), f"write `{shown}`")
        if name in ("has", "header") and self.scope.strict:
            return Refused(
                "E312", f"`{name}` asks a request", at, self.end(at), f"write `request.{name}(...)`"
            )
        near = did_you_mean(name, known)
        hint = f"did you mean `{near}`?" if near else f"functions here: {', '.join(known)}"
        return Refused("E312", f"there is no function `{name}`", at, self.end(at), hint)

    def method(self, node: nodes.Call, target: nodes.Getattr) -> Typed:
        name, at = target.attr, target.lineno + 1
        if name.startswith("_"):
            raise Refused("E313", f"`{name}`: fields do not begin with `_`", at, self.end(at))
        owner = self.expr(target.node)
        if owner.type.name == "request view" and name in ("has", "header"):
            text = self.literal(node, f"request.{name}")
            return self.has(owner, text) if name == "has" else self.header(owner, text)
        here = METHODS.get(name, name)
        known = here in FILTERS and (FILTERS[here].route or not self.scope.strict)
        shown = (
            "x in y"
            if here == "in"
            else f"x is {here}(...)"
            if here in ("starts_with", "ends_with")
            else f"x | {here}"
        )
        hint = (
            f"write `{shown}`"
            if known or here == "in"
            else 'only `request.has("...")` and `request.header("...")` are'
        )
        raise Refused("E312", f"`.{name}()` cannot be called", at, self.end(at), hint)

    def literal(self, node: nodes.Call, name: str) -> Typed:
        args = self.arguments(node)
        if len(args) != 1 or args[0].ir[0] != "c" or not isinstance(args[0].ir[1], str):
            raise Refused("E304", f"`{name}` takes one text in quotes", node.lineno, node.lineno + 1)
        return args[0]

    def has(self, owner: Typed, text: Typed) -> Typed:
        if text.ir[1] not in ABILITIES:
            near = did_you_mean(text.ir[1], ABILITIES)
            hint = f'did you mean "{near}"?' if near else f"it is one of: {', '.join(ABILITIES)}"
            raise Refused("E322", f'a request has no "{text.ir[1]}"', text.begin, self.end(text.begin), hint)
        return Typed(["m", owner.ir, "has", [text.ir]], BOOL, owner.begin)

    def header(self, owner: Typed, text: Typed) -> Typed:
        if not _HEADER.fullmatch(text.ir[1]):
            raise Refused("E322", f"`{text.ir[1]}` is no name of a header", text.begin, self.end(text.begin))
        ir = ["or", [["m", owner.ir, "header", [["c", text.ir[1].lower()]]], ["c", ""]]]
        return Typed(ir, STRING, owner.begin)

    def between(self, node: nodes.Call, at: int) -> Typed:
        args = self.arguments(node)
        if len(args) != 2:
            raise Refused(
                "E316", "`between` takes two times", at, self.end(at), 'write `between("22:00", "06:00")`'
            )
        minutes = []
        for arg in args:
            text = arg.ir[1] if arg.ir[0] == "c" else None
            try:
                if not isinstance(text, str):
                    raise UnitError("`between` takes times as texts", 'write `between("22:00", "06:00")`')
                minutes.append(time_of_day(text))
            except UnitError as error:
                raise Refused("E316", error.message, arg.begin, self.end(arg.begin), error.help) from None
        if minutes[0] == minutes[1]:
            raise Refused("E316", "the two times are equal", args[1].begin, self.end(args[1].begin))
        clock = ["p", self.scope.parameters.index("clock")]
        return Typed(["m", clock, "between", [["c", minute] for minute in minutes]], BOOL, at)

    def budget(self, node: nodes.Call, field: str) -> Typed:
        """`budget("name").used`."""
        at = begin_of(node.node)
        text = self.literal(node, "budget")
        known = self.scope.budgets or ()
        if text.ir[1] not in known:
            near = did_you_mean(text.ir[1], known)
            there = f"there is: {', '.join(known)}" if known else "none is defined"
            hint = f"did you mean `{near}`? {there}" if near else there
            what, end = f"there is no budget `{text.ir[1]}`", self.end(text.begin)
            raise Refused("E210", what, text.begin, end, hint)
        if field != "used":
            what = f"`budget` has no field `{field}`"
            raise Refused("E302", what, at, self.end(at), "its field: used, the share of its limit")
        clock = ["p", self.scope.parameters.index("clock")]
        return Typed(["m", clock, "budget_used", [text.ir]], NUMBER, at)

    # --- arguments

    def arguments(self, node: Any) -> list[Typed]:
        if node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs:
            at = node.kwargs[0].lineno if node.kwargs else node.lineno
            raise Refused("E320", "arguments are given by position, without names or `*`", at, self.end(at))
        return [self.expr(arg) for arg in node.args]

    def apply(self, name: str, call: Call, value: Typed, args: list[Typed], at: int) -> Typed:
        """The call itself, its counts and types checked."""
        most = len(call.arguments)
        if len(args) < call.needed or (len(args) > most and not call.rest):
            count = str(most) if call.needed == most else f"{call.needed} to {most}"
            hint = "after the value that it stands on"
            raise Refused(
                "E304", f"`{name}` takes {count} arguments, not {len(args)}", at, self.end(at), hint
            )
        self.typed(name, call.takes, value)
        for number, arg in enumerate(args):
            self.typed(name, call.arguments[min(number, most - 1)], arg)
            if call.constant and (arg.ir[0] != "c"):
                raise Refused(
                    "E304", f"the argument of `{name}` is written out", arg.begin, self.end(arg.begin)
                )
        if name == "length" and value.type.kind in ("number", "bool"):
            raise Refused("E305", f"{value.type} has no length", value.begin, self.end(value.begin))
        if call.pattern is not None:
            self.pattern(args[call.pattern])
        result = self.result(name, call, value, args)
        path = value.path if name in ("default", "coalesce") else None
        if name == "first" and value.path is not None:
            path = [*value.path, 0]
        return Typed(["call", name, [value.ir, *(arg.ir for arg in args)]], result, value.begin, path)

    def typed(self, name: str, wanted: T, arg: Typed) -> None:
        if arg.type.kind == "null" and wanted.kind != "any":
            raise Refused("E305", f"`{name}` cannot use `none`", arg.begin, self.end(arg.begin))
        if not same_kind(wanted, arg.type):
            message = f"`{name}` works on {wanted}, and this is {arg.type}"
            raise Refused("E305", message, arg.begin, self.end(arg.begin))

    def result(self, name: str, call: Call, value: Typed, args: list[Typed]) -> T:
        if name == "default":
            both = join(value.type.present(), args[0].type)
            return both.maybe() if args[0].type.absent else both.present()
        if name == "coalesce":
            result = value.type
            for arg in args:
                result = join(result.present(), arg.type)
            return result
        if name in KEEPS_TYPE:
            return value.type.maybe()
        if name in TAKES_ELEMENT:
            return (value.type.item or ANY).maybe()
        if name == "length" or call.result.absent or call.result.kind == "bool" or name == "stable_id":
            return call.result
        return call.result if not value.type.absent and value.type.kind != "any" else call.result.maybe()

    def pattern(self, arg: Typed) -> None:
        """An RE2 pattern: look-around and back-references are refused where they stand."""
        import re2  # not at the top: most workspaces have no pattern, and it costs 10 ms

        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(arg.ir[1], options)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
            hint = None
            if re.search(r"\(\?<?[=!]|\\[1-9]", arg.ir[1]):
                hint = (
                    "RE2 has no look-around and no back-references, so no pattern can hang: use `and`/`not`"
                )
            raise Refused("E315", f"not a pattern: {reason}", arg.begin, self.end(arg.begin), hint) from None
