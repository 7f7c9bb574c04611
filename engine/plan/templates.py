"""Template IR to Python statements: each piece of the template writes its value where it belongs, or nothing.

Built on `code.Code` for the expressions inside. A value goes to a *sink* (an entry of a map, the end of a
list, a variable, the result), and an absent one never reaches it: this is how an undefined value drops its
key. The IR:

    ["E", x, definite]        an expression; `definite`: never absent
    ["C", check, x, path]     an expression whose value must pass a check of `CHECKS`; with a path a wrong one
                              raises `WireTypeError` naming it, without one it is absent
    ["K", json]               a constant, null too
    ["X", parts, escape]      mixed text: strings and expressions; `text`, `path` or `header`
    ["M", entries, keep]      a map: ["=", key, t], ["D", x, t] with a computed key, ["S", t] spreads a map
    ["L", items]              a list: templates, ["S", t] splices a list
    ["I", x, t, t | null]     if;   ["W", x, n, [[[words], t], ...], t | null] switch over local variable n
    ["T", [[n, t], ...], t]   let
    ["F", {...}]              for: see `_for`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from engine.plan.absence import runs
from engine.plan.code import Code, scalar
from engine.plan.hoisting import is_of, key_of, shared_owners
from engine.plan.scopes import SCOPES, WIRE_PARAMETERS

#: Check -> (its test of variable {0}, what the field must be). `lit:a|b` is one of these words.
CHECKS: Final[dict[str, tuple[str, str]]] = {
    "string": ("{0}.__class__ is str", "a string"),
    "bool": ("{0}.__class__ is bool", "a boolean"),
    "int": ("{0}.__class__ is int", "an integer"),
    "number": ("({0}.__class__ is float or {0}.__class__ is int)", "a number"),
    "map": ("{0}.__class__ is dict", "an object"),
    "list": ("{0}.__class__ is list", "an array"),
    "list[string]": ("all_texts({0})", "an array of strings"),
    "list[number]": ("all_numbers({0})", "an array of numbers"),
    "list[map]": ("all_maps({0})", "an array of objects"),
    "map[string]": ("texts_by_key({0})", "an object of strings"),
    "map[number]": ("numbers_by_key({0})", "an object of numbers"),
}
_ESCAPES: Final = {"text": "text", "path": "path_text", "header": "text"}


@dataclass(frozen=True)
class Sink:
    """Where a value goes: `pattern` is the statement, with {0} for the value.

    `into`: the list that a `$for` standing here fills directly. `flat`: a list given here is spliced.
    """

    pattern: str
    into: str | None = None
    flat: bool = False


_RESULT: Final = Sink("return {0}")


def template_code(scope: str, ir: Any) -> tuple[str, dict[str, Any]]:
    """The Python source of a template, and the constants that it needs."""
    writer = _Writer()
    names = SCOPES[scope]
    for number, name in enumerate(names):
        if (scope, name) in WIRE_PARAMETERS:
            writer.line(f"if p{number}.__class__ is not dict: p{number} = {{}}")
    writer.emit(ir, _RESULT)
    writer.line("return None")
    head = f"def f({', '.join(f'p{n}' for n in range(len(names)))}):"
    return "\n".join([head, *writer.lines, ""]), writer.constants


def literal(value: Any) -> str:
    """JSON as the Python source of a fresh value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return scalar(value)


class _Writer(Code):
    """Writes the statements of one function, indented by one space a level."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.level = 1

    def line(self, text: str) -> None:
        self.lines.append(" " * self.level + text)

    def put(self, sink: Sink, source: str, definite: bool) -> None:
        """Write a value to its sink; one that may be absent only if it is there."""
        if sink.flat:
            var = source if source.isidentifier() else self.temporary()
            if var != source:
                self.line(f"{var} = {source}")
            self.line(f"if {var}.__class__ is list: {sink.into}.extend({var})")
        elif definite:
            self.line(sink.pattern.format(source))
        elif source.isidentifier():
            self.line(f"if {source} is not None: {sink.pattern.format(source)}")
        else:
            var = self.temporary()
            self.line(f"if ({var} := {source}) is not None: {sink.pattern.format(var)}")

    def emit(self, ir: Any, sink: Sink) -> None:
        """The statements that bring the value of `ir` to `sink`."""
        source = self.inline(ir)
        if source is not None and not (sink.flat and ir[0] == "L"):
            self.put(sink, source, True)
            return
        {"E": self._expression, "C": self._checked, "X": self._mixed, "M": self._map, "L": self._list,
         "I": self._if, "W": self._switch, "T": self._let, "F": self._for}[ir[0]](ir, sink)  # fmt: skip

    def inline(self, ir: Any) -> str | None:
        """The value as one Python expression, where it is never absent and needs no statements."""
        tag = ir[0]
        if tag == "K":
            return literal(ir[1])
        if tag == "E":
            return self.value(ir[1]) if ir[2] else None
        if tag == "M" and ir[1] and all(entry[0] == "=" and _simple(entry[2]) for entry in ir[1]):
            return "{" + ", ".join(f"{scalar(key)}: {self.inline(item)}" for _, key, item in ir[1]) + "}"
        if tag == "L" and all(_simple(item) for item in ir[1]):
            return "[" + ", ".join(str(self.inline(item)) for item in ir[1]) + "]"
        return None

    def _expression(self, ir: Any, sink: Sink) -> None:
        self.put(sink, self.value(ir[1]), ir[2])

    def _checked(self, ir: Any, sink: Sink) -> None:
        _, check, part, path = ir
        var = self.temporary()
        self.line(f"{var} = {self.value(part)}")
        if check.startswith("lit:"):
            words = check[4:].split("|")
            listed = "".join(f"{scalar(word)}, " for word in words)
            test, expected = f"one_of({var}, ({listed}))", f"one of {', '.join(words)}"
        else:
            pattern, expected = CHECKS[check]
            test = pattern.format(var)
        if path is None:
            self.line(f"if {test}:")
        else:
            self.line(f"if {var} is not None:")
            self.line(f" if not {test}: wrong({self.path(path)}, {scalar(expected)}, {var})")
        self.level += 1
        self.put(sink, var, True)
        self.level -= 1

    def _mixed(self, ir: Any, sink: Sink) -> None:
        parts = []
        for part in ir[1]:
            if isinstance(part, str):
                parts.append(scalar(part))
            elif ir[2] == "path":
                parts.append(f"path_text({self.value(part)})")
            else:
                parts.append(self.value(part))
        self.put(sink, f"{'header_text' if ir[2] == 'header' else 'text'}({', '.join(parts)})", False)

    def _map(self, ir: Any, sink: Sink) -> None:
        entries, keep = list(ir[1]), ir[2]
        ready = []
        while entries and entries[0][0] == "=" and _simple(entries[0][2]):
            _, key, item = entries.pop(0)
            ready.append(f"{scalar(key)}: {self.inline(item)}")
        var = self.temporary()
        self.line(f"{var} = {{{', '.join(ready)}}}")
        certain = bool(ready) or keep
        for fields, run in runs(entries):
            if fields is not None:
                name = f"S{len(self.constants)}"
                self.constants[name] = fields
                self.line(f"if not {name}.isdisjoint(p0):")
                self.level += 1
            certain = self._entries(run, var) or certain
            self.level -= fields is not None
        if certain:
            self.put(sink, var, True)
        else:
            self.line(f"if {var}: {sink.pattern.format(var)}" if not sink.flat else "pass")

    def _entries(self, entries: list[Any], var: str) -> bool:
        """Write entries into the map in `var`; True: one of them is always there."""
        certain = False
        for entry in entries:
            if entry[0] == "=":
                certain = certain or _simple(entry[2])
                self.emit(entry[2], Sink(f"{var}[{_braces(scalar(entry[1]))}] = {{0}}"))
            elif entry[0] == "D":
                key = self.temporary()
                self.line(f"if ({key} := {self.value(entry[1])}).__class__ is str:")
                self._block(entry[2], Sink(f"{var}[{key}] = {{0}}"))
            else:
                spread = self.temporary()
                self.line(f"{spread} = None")
                self.emit(entry[1], Sink(f"{spread} = {{0}}"))
                self.line(f"if {spread}.__class__ is dict: {var}.update({spread})")
                if entry[1][0] == "F":
                    self.line(f"elif {spread}: {var}.update(all_items({spread}))")
        return certain

    def _list(self, ir: Any, sink: Sink) -> None:
        items = list(ir[1])
        into = sink.into if sink.flat else None
        if into is None:
            ready = []
            while items and _simple(items[0]):
                ready.append(str(self.inline(items.pop(0))))
            into = self.temporary()
            self.line(f"{into} = [{', '.join(ready)}]")
        for item in items:
            if item[0] == "S":
                self.emit(item[1], Sink("", into, flat=True))
            else:
                self.emit(item, Sink(f"{into}.append({{0}})", into))
        if not sink.flat:
            self.put(sink, into, True)

    def _block(self, ir: Any, sink: Sink) -> None:
        """`ir` one level further in; never an empty block."""
        self.level += 1
        before = len(self.lines)
        self.emit(ir, sink)
        if len(self.lines) == before:
            self.line("pass")
        self.level -= 1

    def _if(self, ir: Any, sink: Sink) -> None:
        self.line(f"if {self.condition(ir[1])}:")
        self._block(ir[2], sink)
        if ir[3] is not None:
            self.line("else:")
            self._block(ir[3], sink)

    def _switch(self, ir: Any, sink: Sink) -> None:
        _, part, number, cases, default = ir
        var = f"v{int(number)}"
        self._bound(number)
        self.line(f"{var} = {self.value(part)}")
        word = "if"
        for words, case in cases:
            tests = (
                f"{var} == {scalar(words[0])}"
                if len(words) == 1
                else f"{var} in ({', '.join(map(scalar, words))})"
            )
            self.line(f"{word} {tests}:")
            self._block(case, sink)
            word = "elif"
        if default is not None:
            self.line("else:")
            self._block(default, sink)

    def _let(self, ir: Any, sink: Sink) -> None:
        shared = dict(self.shared)
        for place, (number, item) in enumerate(ir[1], 1):
            var = f"v{int(number)}"
            if item[0] == "E":
                self.line(f"{var} = {self.value(item[1])}")
            else:
                self.line(f"{var} = None")
                self.emit(item, Sink(f"{var} = {{0}}"))
            self._bound(number)
            self._share(number, [ir[1][place:], ir[2]])
        self.emit(ir[2], sink)
        self.shared = shared

    def _bound(self, number: int) -> None:
        """A local variable has another value from here on: what was known of it does not hold any more."""
        self.maps.discard(f"v{int(number)}")
        self.shared = {key: var for key, var in self.shared.items() if not is_of(key, number)}

    def _share(self, number: int, ir: Any) -> None:
        """Look up once what `ir` reads of a local variable, where that saves look-ups."""
        for owner in shared_owners(ir, number):
            if owner[0] != "l" or f"v{int(number)}" not in self.maps:
                var, source = self.temporary(), self.value(owner)
                self.constants["NOTHING"] = {}
                self.line(f"if ({var} := {source}).__class__ is not dict: {var} = NOTHING")
                self.shared[key_of(owner)] = var

    def _for(self, ir: Any, sink: Sink) -> None:
        """`v` item, `i` index variable or null, `in`, `when`, `do`, `flat`, `by`, `first`, `join`, `drop`,
        `path`, `maps`, `count` (a variable and what it counts, or null).

        `drop`: an empty list is absent. `path`: where the list stands on the wire, if a wrong one must raise.
        `maps`: elements that are no maps are wrong (with a path) or passed over.
        """
        loop = ir[1]
        source, var = self.temporary(), f"v{int(loop['v'])}"
        self.line(f"{source} = {self.value(loop['in'])}")
        if loop["path"] is None:
            self.line(f"if {source}.__class__ is list:")
        else:
            self.line(f"if {source} is not None:")
            self.line(
                f" if {source}.__class__ is not list: wrong({self.path(loop['path'])}, 'an array', {source})"
            )
        self.level += 1
        plain = loop["by"] is None and loop["first"] is None and loop["join"] is None and not loop["drop"]
        direct = sink.into is not None and plain
        into = sink.into if direct and sink.into else self.temporary()
        if not direct:
            self.line(f"{into} = []")
        self._loop(loop, source, var, into)
        if not direct:
            self._after(loop, into, sink)
        self.level -= 1

    def _loop(self, loop: Any, source: str, var: str, into: str) -> None:
        index = None if loop["i"] is None else f"v{int(loop['i'])}"
        counted = self.temporary() if loop["count"] is not None else ""
        if counted:
            self.line(f"{counted} = 0")
        if index is None:
            self.line(f"for {var} in {source}:")
        else:
            self.line(f"for {index}, {var} in enumerate({source}):")
        self.level += 1
        if loop["maps"]:
            if loop["path"] is None:
                self.line(f"if {var}.__class__ is not dict: continue")
            else:
                path = self.path([*loop["path"], ["l", loop["i"]]])
                self.line(f"if {var}.__class__ is not dict: wrong({path}, 'an object', {var})")
        shared = dict(self.shared)
        self._bound(loop["v"])
        if loop["maps"]:
            self.maps.add(var)
        if counted:
            number, test = loop["count"]
            self.line(f"v{int(number)} = {counted}")
            self.line(f"if {self.condition(test)}: {counted} += 1")
        if loop["when"] is not None:
            self.line(f"if not {self.condition(loop['when'])}: continue")
        self._share(loop["v"], loop["do"])
        if loop["flat"]:
            self.emit(loop["do"], Sink("", into, flat=True))
        else:
            self.emit(loop["do"], Sink(f"{into}.append({{0}})"))
        self.maps.discard(var)
        self.shared = shared
        self.level -= 1

    def _after(self, loop: Any, into: str, sink: Sink) -> None:
        if loop["by"] is not None:
            key, fields, *rest = loop["by"]
            listed = "".join(f"{scalar(name)}, " for name in fields)
            only = f", ({''.join(f'{scalar(word)}, ' for word in rest[0])})" if rest else ""
            self.line(f"{into} = merge_adjacent({into}, {scalar(key)}, ({listed}){only})")
        if loop["first"] is not None:
            key, value, item = loop["first"]
            self.line(
                f"if {into} and not ({into}[0].__class__ is dict"
                f" and {into}[0].get({scalar(key)}) == {scalar(value)}):"
            )
            self._block(item, Sink(f"{into}.insert(0, {{0}})"))
        if loop["join"] is not None:
            self.put(sink, f"joined({into}, {scalar(loop['join'])})", False)
        elif sink.into is not None:
            self.line(f"{sink.into} += {into}")
        elif loop["drop"]:
            self.put(sink, f"{into} or None", False)
        else:
            self.put(sink, into, True)


def _braces(text: str) -> str:
    """A key of the user's in a sink's pattern, which goes through `str.format`."""
    return text.replace("{", "{{").replace("}", "}}")


def _simple(ir: Any) -> bool:
    """Whether `inline` can write it."""
    tag = ir[0]
    if tag == "K":
        return True
    if tag == "E":
        return bool(ir[2])
    if tag == "M":
        return bool(ir[1]) and all(entry[0] == "=" and _simple(entry[2]) for entry in ir[1])
    return tag == "L" and all(_simple(item) for item in ir[1])
