"""The directives of templates: `$if`, `$switch`, `$let`, `$use`, `$literal`; `$for` is in `loops.py`.

`$merge` and `$keep` are part of maps, `$splice` of lists (`template.py`). Each directive is a map with a
closed set of keys; a misspelt or missing one is an error where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.compiler.document import Document, Path
from engine.compiler.expr.loops import Loops
from engine.compiler.expr.scalars import Unclosed, only, pieces
from engine.compiler.expr.typed import Local
from engine.compiler.expr.types import ANY, STRING, T, list_of, map_of
from engine.compiler.suggest import did_you_mean

#: Directive -> the keys that may stand beside it, and those that must. None: any plain keys too.
_SHAPES: Final[dict[str, tuple[frozenset[str], tuple[str, ...]]]] = {
    "$if": (frozenset({"$then", "$else"}), ("$then",)),
    "$switch": (frozenset({"$cases", "$default"}), ("$cases",)),
    "$for": (
        frozenset(
            {
                "$in",
                "$when",
                "$do",
                "$flat",
                "$index",
                "$count",
                "$merge_adjacent",
                "$ensure_first",
                "$join",
                "$keep",
            }
        ),
        ("$in", "$do"),
    ),
    "$use": (frozenset({"$with"}), ()),
    "$literal": (frozenset(), ()),
}
DIRECTIVES: Final = frozenset({"$let", "$merge", "$keep", "$splice"}).union(
    _SHAPES, *(keys for keys, _ in _SHAPES.values())
)
_NAME_HELP: Final = "names are of a-z, 0-9 and _, and begin with a letter"
MAX_LITERAL: Final = 2_000
MAX_DEPTH: Final = 32


class Directives(Loops):
    """The part of `Builder` for directives."""

    document: Document
    out: Any
    blocks: Mapping[str, Any]
    blocks_path: Path
    failed: bool
    using: list[str]

    def directive(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any] | None:
        """The IR of a map of directives; None for a plain map."""
        if "$let" in data:
            return self.let(data, path, want)
        kinds = [name for name in _SHAPES if name in data]
        if not kinds:
            stray = [key for key in data if key in DIRECTIVES and key not in ("$merge", "$keep")]
            if not stray:
                return None
            homes = [name for name, (keys, _) in _SHAPES.items() if stray[0] in keys]
            hint = f"it belongs beside `{homes[0]}`" if homes else "it is an item of a list"
            return self.fault(
                "E331", f"`{stray[0]}` does not stand alone", (*path, stray[0]), help=hint, key=True
            )
        kind = kinds[0]
        allowed, needed = _SHAPES[kind]
        for key in data:
            if key != kind and key not in allowed:
                hint = f"beside `{kind}` stand: {', '.join(sorted(allowed)) or 'nothing'}"
                return self.fault(
                    "E331", f"`{key}` does not belong beside `{kind}`", (*path, key), help=hint, key=True
                )
        for key in needed:
            if key not in data:
                return self.fault("E331", f"`{kind}` needs `{key}`", (*path, kind), key=True)
        methods = {"$if": self.if_, "$switch": self.switch, "$for": self.for_, "$use": self.use}
        return methods[kind](data, path, want) if kind in methods else self.literal(data, path)

    def flag(self, data: dict[str, Any], key: str, path: Path) -> bool:
        value = data.get(key, False)
        if not isinstance(value, bool):
            self.fault("E331", f"`{key}` is true or false", (*path, key))
        return value is True

    # --- choosing

    def if_(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        test = self.bare(data["$if"], (*path, "$if"))
        then = self.build(data["$then"], (*path, "$then"), want)
        other = self.build(data["$else"], (*path, "$else"), want) if "$else" in data else None
        return ["I", ["c", True] if test is None else test.ir, then, other]

    def switch(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        found = self.bare(data["$switch"], (*path, "$switch"))
        cases = data["$cases"]
        if not isinstance(cases, dict) or not cases:
            return self.fault("E331", "`$cases` maps words to templates", (*path, "$cases"))
        if found is not None and found.type.kind not in ("string", "any"):
            message = f"`$switch` chooses by a text, and this is {found.type}"
            return self.fault("E331", message, (*path, "$switch"), help="use `$if`")
        values = found.type.values if found is not None else None
        written = []
        for word, case in cases.items():
            at = (*path, "$cases", word)
            if values is not None and word not in values:
                near = did_you_mean(word, values)
                hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(values)}"
                self.fault("E322", f"it is never `{word}`", at, help=hint, key=True)
            written.append([[word], self.build(case, at, want)])
        default = self.build(data["$default"], (*path, "$default"), want) if "$default" in data else None
        return [
            "W",
            ["c", None] if found is None else found.ir,
            self.local(ANY, None).index,
            written,
            default,
        ]

    # --- names

    def bind(
        self, name: Any, path: Path, type: T, wire: list[Any] | None, *, key: bool = False
    ) -> Local | None:
        """Bring a name in; the caller restores `checker.locals`."""
        if not isinstance(name, str) or not name.isascii() or not name.isidentifier() or not name.islower():
            self.fault("E331", f"`{name}` is no name", path, help=_NAME_HELP, key=key)
            return None
        if name.startswith("_") or name in (
            "and",
            "or",
            "not",
            "in",
            "is",
            "if",
            "else",
            "true",
            "false",
            "none",
        ):
            self.fault("E331", f"`{name}` is no name of your own", path, help=_NAME_HELP, key=key)
            return None
        if name in self.checker.scope.types or name in self.checker.locals:
            self.fault(
                "E331", f"`{name}` already means something here", path, help="choose another name", key=key
            )
            return None
        local = self.local(type, wire)
        self.checker.locals = {**self.checker.locals, name: local}
        return local

    def let(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        """`$let: {a: ..., b: ...}`: all at once; a list of such maps: one after the other."""
        steps = data["$let"] if isinstance(data["$let"], list) else [data["$let"]]
        before = self.checker.locals
        bound: list[list[Any]] = []
        for number, step in enumerate(steps):
            at = (*path, "$let", number) if isinstance(data["$let"], list) else (*path, "$let")
            if not isinstance(step, dict) or not step:
                self.fault("E331", "`$let` maps names to values", at)
                continue
            values = {name: self.valued(value, (*at, name)) for name, value in step.items()}
            for name, (ir, kind, wire) in values.items():
                local = self.bind(name, (*at, name), kind, wire, key=True)
                if local is not None:
                    bound.append([local.index, ir])
        rest = {key: value for key, value in data.items() if key != "$let"}
        if "$in" in rest and "$for" not in rest and len(rest) == 1:
            body = self.build(rest["$in"], (*path, "$in"), want)
        elif "$in" in rest and "$for" not in rest:
            body = self.fault("E331", "`$let` has `$in`, or keys of the result beside it, not both", path)
        else:
            body = self.build(rest, path, want)
        self.checker.locals = before
        return ["T", bound, body]

    def valued(self, value: Any, path: Path) -> tuple[list[Any], T, list[Any] | None]:
        """A value for a name: its IR, its type and, where it is a field of a wire body, its path."""
        if isinstance(value, str):
            try:
                single = only(pieces(value))
            except Unclosed:
                single = None
            if single is not None:
                found = self.bare(value, path)
                if found is None:
                    return ["K", None], ANY, None
                return ["E", found.ir, False], found.type, found.path
        ir = self.build(value, path, None)
        kind = {"K": ANY, "X": STRING.maybe(), "M": map_of(ANY).maybe(), "L": list_of(ANY)}.get(ir[0], ANY)
        if ir[0] == "F":
            kind = STRING.maybe() if ir[1]["join"] is not None else list_of(ANY).maybe()
        return ir, kind, None

    def use(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        name = data["$use"]
        if not isinstance(name, str) or name not in self.blocks:
            near = did_you_mean(str(name), self.blocks)
            known = f"blocks: {', '.join(sorted(self.blocks)) or 'none are defined'}"
            return self.fault(
                "E332",
                f"no block is named `{name}`",
                (*path, "$use"),
                help=f"did you mean `{near}`?" if near else known,
            )
        if name in self.using:
            circle = " -> ".join([*self.using[self.using.index(name) :], name])
            return self.fault("E332", f"the block `{name}` uses itself: {circle}", (*path, "$use"))
        if "$with" in data:
            inner = {"$let": data["$with"], "$in": {"$use": name}}
            return self.let_with(inner, path, want)
        self.using.append(name)
        found = self.build(self.blocks[name], (*self.blocks_path, name), want)
        self.using.pop()
        return found

    def let_with(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        """`$use` with `$with`: names for the block alone."""
        before = self.checker.locals
        bound: list[list[Any]] = []
        step = data["$let"]
        if not isinstance(step, dict) or not step:
            return self.fault("E331", "`$with` maps names to values", (*path, "$with"))
        values = {name: self.valued(value, (*path, "$with", name)) for name, value in step.items()}
        for name, (ir, kind, wire) in values.items():
            local = self.bind(name, (*path, "$with", name), kind, wire, key=True)
            if local is not None:
                bound.append([local.index, ir])
        body = self.use(data["$in"], path, want)
        self.checker.locals = before
        return ["T", bound, body]

    def literal(self, data: dict[str, Any], path: Path) -> list[Any]:
        nodes, stack = 0, [(data["$literal"], 1)]
        while stack:
            item, depth = stack.pop()
            nodes += 1
            inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
            stack += [(value, depth + 1) for value in inner]
            if nodes > MAX_LITERAL or depth > MAX_DEPTH:
                return self.fault("E333", "the literal is too large", (*path, "$literal"))
        return ["K", data["$literal"]]
