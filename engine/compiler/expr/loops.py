"""`$for`: a list made from another, and what can be done with it as a whole.

Beside `$in` and `$do` stand `$when` (which elements), `$index` (a name for the number), `$count` (a name for
how many elements before this one had something), `$flat` (results are lists to put together),
`$merge_adjacent`, `$ensure_first`, `$join` (one text) and `$keep: false` (an empty list is absent).
"""

from __future__ import annotations

from typing import Any, Final

from engine.compiler.document import Path
from engine.compiler.expr.check import Checker
from engine.compiler.expr.typed import Local, Typed
from engine.compiler.expr.types import ANY, INTEGER, STRING, T

MAX_LOOPS: Final = 8


class Loops:
    """The part of `Builder` for `$for`."""

    checker: Checker
    strict: bool
    loops: int

    def build(self, data: Any, path: Path, want: T | None) -> list[Any]:
        raise NotImplementedError  # Builder's

    def bare(self, data: Any, path: Path) -> Typed | None:
        raise NotImplementedError  # Builder's

    def local(self, type: T, path: list[Any] | None) -> Local:
        raise NotImplementedError  # Builder's

    def fault(
        self, code: str, message: str, path: Path, *, help: str | None = None, key: bool = False
    ) -> list[Any]:
        raise NotImplementedError  # Builder's

    def flag(self, data: dict[str, Any], key: str, path: Path) -> bool:
        raise NotImplementedError  # Directives'

    def bind(
        self, name: Any, path: Path, type: T, wire: list[Any] | None, *, key: bool = False
    ) -> Local | None:
        raise NotImplementedError  # Directives'

    def for_(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        if self.loops >= MAX_LOOPS:
            return self.fault("E333", f"more than {MAX_LOOPS} loops in one another", path)
        join = data.get("$join")
        if join is not None and not isinstance(join, str):
            return self.fault("E331", "`$join` is the text between the items", (*path, "$join"))
        needed = "string" if join is not None else "list"
        if want is not None and want.kind != needed:
            return self.fault(
                "E305", f"{want} is needed here, and this is {T('list') if join is None else STRING}", path
            )
        found = self.bare(data["$in"], (*path, "$in"))
        source = Typed(["c", None], ANY, 0) if found is None else found
        if source.type.kind not in ("list", "any"):
            hint = (
                "a map becomes a list of {key, value} by `| items`"
                if source.type.kind in ("map", "struct")
                else None
            )
            return self.fault(
                "E305", f"`$for` goes over a list, and this is {source.type}", (*path, "$in"), help=hint
            )
        before = self.checker.locals
        self.loops += 1
        loop = self.loop(data, path, want, source)
        self.loops -= 1
        self.checker.locals = before
        drop = "$keep" in data and not self.flag(data, "$keep", path)
        return ["F", {**loop, "join": join, "flat": self.flag(data, "$flat", path), "drop": drop}]

    def loop(self, data: dict[str, Any], path: Path, want: T | None, source: Typed) -> dict[str, Any]:
        wire = source.path if self.strict else None
        index = self.bind(data["$index"], (*path, "$index"), INTEGER, None) if "$index" in data else None
        if index is None and wire is not None:
            index = self.local(INTEGER, None)
        item = (source.type.item or ANY) if source.type.kind == "list" else ANY
        element = None if source.path is None or index is None else [*source.path, ["l", index.index]]
        local = self.bind(data["$for"], (*path, "$for"), item, element)
        number = local.index if local is not None else 0
        count = self.counting(data, path)
        when = self.bare(data["$when"], (*path, "$when")) if "$when" in data else None
        inner = want if self.flag(data, "$flat", path) else None if want is None else want.item
        if "$join" in data:
            inner = STRING
        do = self.build(data["$do"], (*path, "$do"), inner)
        test = None if when is None else when.ir
        parts = [test, do, count]
        shaped = item.kind in ("map", "struct") or (wire is not None and _only_as_map(number, parts))
        return {
            "v": number, "i": None if index is None else index.index, "in": source.ir, "when": test, "do": do,
            "by": self.merging(data, path), "first": self.ensuring(data, path, want), "path": wire,
            "maps": shaped, "count": count,
        }  # fmt: skip

    def counting(self, data: dict[str, Any], path: Path) -> list[Any] | None:
        """`{name: expr}`: a variable that counts the elements before this one for which `expr` held."""
        if "$count" not in data:
            return None
        value = data["$count"]
        at = (*path, "$count")
        if not isinstance(value, dict) or len(value) != 1:
            self.fault("E331", "write `{NAME: what to count}`", at)
            return None
        name, counted = next(iter(value.items()))
        found = self.bare(counted, (*at, name))
        local = self.bind(name, (*at, name), INTEGER, None, key=True)
        return None if found is None or local is None else [local.index, found.ir]

    def merging(self, data: dict[str, Any], path: Path) -> list[Any] | None:
        if "$merge_adjacent" not in data:
            return None
        value = data["$merge_adjacent"]
        at = (*path, "$merge_adjacent")
        fields = value.get("concat") if isinstance(value, dict) else None
        fields = [fields] if isinstance(fields, str) else fields
        only = value.get("only") if isinstance(value, dict) else None
        good = _texts(fields) and (only is None or _texts(only))
        if not good or set(value) - {"only"} != {"by", "concat"} or not isinstance(value["by"], str):
            self.fault("E331", "write `{by: FIELD, concat: FIELD}`, and `only: [VALUE, ...]` if need be", at)
            return None
        return [value["by"], fields] if only is None else [value["by"], fields, only]

    def ensuring(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any] | None:
        """`{by: role, is: user, put: TEMPLATE}`: put it in front where the first item's role is another."""
        if "$ensure_first" not in data:
            return None
        value = data["$ensure_first"]
        at = (*path, "$ensure_first")
        if (
            not isinstance(value, dict)
            or set(value) != {"by", "is", "put"}
            or not isinstance(value["by"], str)
        ):
            self.fault("E331", "write `{by: FIELD, is: VALUE, put: TEMPLATE}`", at)
            return None
        if not isinstance(value["is"], str | int | float | bool):
            self.fault("E331", "`is` is a text, a number, true or false", (*at, "is"))
            return None
        return [
            value["by"],
            value["is"],
            self.build(value["put"], (*at, "put"), None if want is None else want.item),
        ]


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _only_as_map(number: int, parts: list[Any]) -> bool:
    """Whether variable `number` has its fields read, and is never asked for its type."""
    reads = False
    stack: list[Any] = list(parts)
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack += node.values()
        elif isinstance(node, list) and node:
            if node[0] == "g" and node[1] == ["l", number]:
                reads = True
            if node[0] == "is" and node[2] == ["l", number]:
                return False
            stack += node
    return reads
