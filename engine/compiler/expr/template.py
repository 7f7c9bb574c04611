"""Templates: YAML structure with directives around expressions, checked and lowered to template IR.

A value is text, `${{ expr }}`, a map, a list, or a map of directives (`$if`, `$for`, ...: `directives.py`).
Where the caller names the canonical type that is being made (`want`), unknown fields and wrong types are
errors here, and what is only known at run time gets a check in the IR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from engine.compiler.document import Document, Path
from engine.compiler.expr.check import Checker
from engine.compiler.expr.context import Scope
from engine.compiler.expr.context import scope as scope_named
from engine.compiler.expr.directives import DIRECTIVES, MAX_DEPTH, Directives
from engine.compiler.expr.expression import report
from engine.compiler.expr.lexer import Refused, parse
from engine.compiler.expr.place import Place
from engine.compiler.expr.scalars import Piece, Unclosed, only, pieces
from engine.compiler.expr.typed import Local, Typed
from engine.compiler.expr.types import ANY, Kind, T, fields_of, same_kind, wanted
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics
from engine.plan.scopes import base_scope
from engine.plan.values import Template

Escape = Literal["text", "path", "header"]

#: Parts of one template, blocks put in.
MAX_NODES: Final = 4_000

NOTHING: Final[list[Any]] = ["K", None]


def compile_template(
    data: Any, *, document: Document, path: Path, scope: Scope | str, want: str | None = None,
    out: Diagnostics,
    blocks: Mapping[str, Any] | None = None, blocks_path: Path = ("blocks",), escape: Escape = "text",
    strict: bool | None = None,
) -> Template | None:  # fmt: skip
    """The template `data`, which stands at `path` of `document`; None after a fault.

    `want` names the type it makes (`Request`, `list[Event]`, `string`). `strict`: a wire value of the wrong
    type raises `WireTypeError` when it runs, else it is absent; by default only a client's request is read
    strictly. `blocks` are what `$use` can name, standing at `blocks_path`. `escape` says where text goes:
    `path` encodes each value as one segment (good for a query too), `header` refuses line breaks.
    """
    where = scope_named(scope) if isinstance(scope, str) else scope
    checked = (base_scope(where.name) == "request_read" and want is not None) if strict is None else strict
    builder = Builder(where, document, out, blocks or {}, blocks_path, escape, checked)
    ir = builder.build(data, path, None if want is None else wanted(want))
    return None if builder.failed else Template(where.name, ir)


class Builder(Directives):
    """Builds the IR of one template."""

    def __init__(
        self, scope: Scope, document: Document, out: Diagnostics, blocks: Mapping[str, Any],
        blocks_path: Path,
        escape: Escape, strict: bool,
    ) -> None:  # fmt: skip
        self.checker = Checker(scope)
        self.document = document
        self.out = out
        self.blocks = blocks
        self.blocks_path = blocks_path
        self.escape = escape
        self.strict = strict
        self.failed = False
        self.nodes = 0
        self.depth = 0
        self.loops = 0
        self.variables = 0
        self.using: list[str] = []

    def fault(
        self, code: str, message: str, path: Path, *, help: str | None = None, key: bool = False
    ) -> list[Any]:
        """Record a finding about the value (or `key`) at `path`; what is given stands in for the value."""
        span = self.document.key_span(path) if key else self.document.span(path)
        self.out.add(code, message, span, help=help)
        self.failed = True
        return NOTHING

    def build(self, data: Any, path: Path, want: T | None) -> list[Any]:
        """The IR of any value; faults are recorded, and building goes on beside them."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            if self.nodes == MAX_NODES + 1:
                hint = "blocks count each time they are used"
                self.fault("E333", f"the template has more than {MAX_NODES:,} parts", path, help=hint)
            return NOTHING
        if self.depth >= MAX_DEPTH:
            return self.fault("E333", f"the template is nested deeper than {MAX_DEPTH} levels", path)
        if want is not None and want.kind == "any":
            want = None
        self.depth += 1
        try:
            if isinstance(data, str):
                return self.text(data, path, want)
            if isinstance(data, dict):
                return self.mapping(data, path, want)
            if isinstance(data, list):
                return self.listing(data, path, want)
            return self.constant(data, path, want)
        finally:
            self.depth -= 1

    # --- scalars

    def text(self, text: str, path: Path, want: T | None) -> list[Any]:
        try:
            parts = pieces(text)
        except Unclosed as error:
            Place(self.document, path).add(self.out, "E334", "`${{` has no `}}`", error.at, error.at + 3)
            self.failed = True
            return NOTHING
        single = only(parts)
        if single is not None and self.escape == "text":
            found = self.expression(single, path)
            return NOTHING if found is None else self.typed(found, single, path, want)
        if any(part.expression for part in parts):
            return self.mixed(parts, path, want)
        if self.escape == "header" and any(char in text for char in "\r\n\0"):
            return self.fault("E335", "a header's value cannot contain line breaks or NUL", path)
        return self.constant(text, path, want)

    def expression(self, piece: Piece, path: Path) -> Typed | None:
        try:
            return self.checker.check(parse(piece.text))
        except Refused as refused:
            report(refused, piece.text, Place(self.document, path, piece.start), self.out)
            self.failed = True
            return None

    def bare(self, data: Any, path: Path) -> Typed | None:
        """The expression of a directive, with or without `${{ }}` around it."""
        if isinstance(data, bool | int | float):
            data = str(data).lower()
        if not isinstance(data, str):
            self.fault("E331", "an expression stands here", path)
            return None
        try:
            parts = pieces(data)
        except Unclosed:
            parts = []
        return self.expression(only(parts) or Piece(data, 0, True), path)

    def mixed(self, parts: list[Piece], path: Path, want: T | None) -> list[Any]:
        if want is not None and want.kind != "string":
            return self.fault("E305", f"{want} is needed here, and mixed text is a text", path)
        written: list[Any] = []
        for part in parts:
            if part.expression:
                found = self.expression(part, path)
                if found is not None and found.type.kind in ("list", "map", "struct"):
                    message = f"{found.type} cannot stand in a text"
                    hint = "write `| tojson`, or make it the whole value"
                    Place(self.document, path, part.start).add(
                        self.out, "E305", message, found.begin, len(part.text), help=hint
                    )
                    self.failed = True
                written.append(["c", ""] if found is None else found.ir)
            elif self.escape == "header" and any(char in part.text for char in "\r\n\0"):
                self.fault("E335", "a header's value cannot contain line breaks or NUL", path)
            else:
                written.append(part.text)
        return ["X", written, self.escape]

    def constant(self, value: Any, path: Path, want: T | None) -> list[Any]:
        if self.escape != "text" and value is not None and not isinstance(value, str):
            value = "true" if value is True else "false" if value is False else str(value)
        kinds: dict[type, Kind] = {
            bool: "bool",
            int: "number",
            float: "number",
            str: "string",
            type(None): "null",
        }
        kind = kinds[type(value)]
        if want is None or kind == "null":
            return ["K", value]
        if want.kind != kind:
            return self.fault("E305", f"{want} is needed here, and this is {T(kind)}", path)
        if want.values is not None and value not in want.values:
            near = did_you_mean(value, want.values)
            hint = f"did you mean `{near}`?" if near else f"it is one of: {', '.join(want.values)}"
            return self.fault("E322", f"it is never `{value}`", path, help=hint)
        if want.whole and not isinstance(value, int):
            return self.fault("E305", "a whole number is needed here", path)
        return ["K", value]

    def typed(self, found: Typed, piece: Piece, path: Path, want: T | None) -> list[Any]:
        """An expression where `want` is needed: refused, taken, or checked when it runs."""
        plain = ["E", found.ir, not found.type.absent and found.type.kind not in ("null", "any")]
        if want is None or found.type.kind == "null":
            return plain
        if not same_kind(found.type, want):
            message = f"{want} is needed here, and this is {found.type}"
            Place(self.document, path, piece.start).add(
                self.out, "E305", message, found.begin, len(piece.text.rstrip())
            )
            self.failed = True
            return NOTHING
        check = _check(found.type, want)
        if check is None:
            return plain
        return ["C", check, found.ir, found.path if self.strict and found.path else None]

    # --- structure

    def mapping(self, data: dict[str, Any], path: Path, want: T | None) -> list[Any]:
        unknown = [
            key
            for key in data
            if key[:1] == "$" and key[:2] != "$$" and key[:3] != "${{" and key not in DIRECTIVES
        ]
        for key in unknown:
            near = did_you_mean(key, DIRECTIVES)
            hint = f"did you mean `{near}`?" if near else f"a key of that name is written `${key}`"
            self.fault("E330", f"there is no directive `{key}`", (*path, key), help=hint, key=True)
        if unknown:
            return NOTHING
        directive = self.directive(data, path, want)
        if directive is not None:
            return directive
        if want is not None and want.kind not in ("map", "struct"):
            return self.fault("E305", f"{want} is needed here, and this is a map", path)
        if not data:
            return ["K", {}]
        entries: list[Any] = []
        for key, value in data.items():
            if key == "$merge":
                spread = value if isinstance(value, list) else [value]
                for number, item in enumerate(spread):
                    at = (*path, key, number) if isinstance(value, list) else (*path, key)
                    entries.append(["S", self.build(item, at, want)])
            elif key != "$keep":
                entries.append(self.entry(key, value, (*path, key), want))
        return ["M", entries, self.flag(data, "$keep", path)]

    def entry(self, key: str, value: Any, path: Path, want: T | None) -> list[Any]:
        if key.startswith("${{"):
            return self.computed(key, value, path, want)
        name = key[1:] if key.startswith("$$") else key
        inner: T | None = None
        if want is not None and want.kind == "struct":
            fields = fields_of(want.name)
            if name not in fields:
                near = did_you_mean(name, fields)
                known = f"the fields of {want.name}: {', '.join(fields)}"
                hint = f"did you mean `{near}`?" if near else known
                self.fault("E336", f"{want.name} has no field `{name}`", path, help=hint, key=True)
            inner = fields.get(name)
        elif want is not None:
            inner = want.item
        return ["=", name, self.build(value, path, inner)]

    def computed(self, key: str, value: Any, path: Path, want: T | None) -> list[Any]:
        try:
            piece = only(pieces(key))
        except Unclosed:
            piece = None
        if piece is None or (want is not None and want.kind == "struct"):
            self.fault(
                "E331",
                "a computed key is exactly one `${{ expr }}`, and not among declared fields",
                path,
                key=True,
            )
            return ["=", "", NOTHING]
        try:
            found = self.checker.check(parse(piece.text))
            if found.type.kind not in ("string", "any"):
                raise Refused("E305", f"a key is a text, and this is {found.type}", found.begin)
        except Refused as refused:
            report(refused, piece.text, Place(self.document, path, piece.start, key=True), self.out)
            self.failed = True
            return ["=", "", NOTHING]
        return ["D", found.ir, self.build(value, path, None if want is None else want.item)]

    def listing(self, data: list[Any], path: Path, want: T | None) -> list[Any]:
        if want is not None and want.kind != "list":
            return self.fault("E305", f"{want} is needed here, and this is a list", path)
        item = None if want is None else want.item
        written = []
        for number, value in enumerate(data):
            at = (*path, number)
            if isinstance(value, dict) and "$splice" in value:
                if len(value) > 1:
                    self.fault("E331", "`$splice` stands alone", at)
                written.append(["S", self.build(value["$splice"], (*at, "$splice"), want)])
            elif isinstance(value, dict) and _yields_items(value):
                written.append(self.build(value, at, want))
            else:
                written.append(self.build(value, at, item))
        return ["L", written]

    def local(self, type: T, path: list[Any] | None) -> Local:
        """A new variable."""
        self.variables += 1
        return Local(self.variables, type, path)


def _yields_items(data: dict[str, Any]) -> bool:
    """A `$for` in a list, which adds its items to it; one with `$join` is a text."""
    return "$for" in data and "$join" not in data


def _check(found: T, want: T) -> str | None:
    """The run-time check that a value of type `found` needs to be a `want`; None where it is one."""
    if want.kind == "string":
        if want.values is not None:
            known = (
                found.kind == "string" and found.values is not None and set(found.values) <= set(want.values)
            )
            return None if known else f"lit:{'|'.join(want.values)}"
        return None if found.kind == "string" else "string"
    if want.kind == "number":
        if want.whole:
            return None if found.kind == "number" and found.whole else "int"
        return None if found.kind == "number" else "number"
    if want.kind == "bool":
        return None if found.kind == "bool" else "bool"
    if found.kind == "struct" or (found.kind in ("list", "map") and _same_items(found, want)):
        return None
    kind = "map" if want.kind == "struct" else want.kind
    inner = (want.item or ANY).kind
    words = {"string": "string", "number": "number", "struct": "map", "map": "map"}
    if kind == "map" and inner not in ("string", "number"):
        return "map"
    return f"{kind}[{words[inner]}]" if inner in words else kind


def _same_items(found: T, want: T) -> bool:
    inner, needed = found.item or ANY, want.item or ANY
    return needed.kind == "any" or (
        inner.kind == needed.kind and (needed.kind != "string" or needed.values is None)
    )
