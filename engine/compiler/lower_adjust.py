"""`adjust` rules to the plan's: conditions compiled, fields held against the canonical request."""

from __future__ import annotations

from engine.compiler.document import Document, Path
from engine.compiler.expr import compile_expression
from engine.compiler.expr.place import Place
from engine.compiler.expr.types import T, fields_of, struct
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics
from engine.plan.scopes import scope_of
from engine.plan.values import Expr
from engine.plan.vendors import Adjust
from engine.spec.adjust import AdjustSpec
from engine.wire.operations import form


def adjust_rules(
    specs: tuple[AdjustSpec, ...] | None,
    document: Document,
    path: Path,
    out: Diagnostics,
    operation: str = "chat",
) -> tuple[Adjust, ...]:
    """The rules at `path` for an operation's requests, in order; what is wrong with them is told."""
    rules = enumerate(specs or ())
    return tuple(_rule(spec, document, (*path, number), out, operation) for number, spec in rules)


def _rule(spec: AdjustSpec, document: Document, path: Path, out: Diagnostics, operation: str) -> Adjust:
    request, scope = struct(form(operation).request), scope_of(operation, "request_write")
    for number, name in enumerate(spec.drop or ()):
        _check(name, request, document, (*path, "drop", number), out, key=False)
    for action in ("clamp", "map"):
        for name in getattr(spec, action) or {}:
            _check(name, request, document, (*path, action, name), out, key=True)

    def expression(text: str | None, key: str) -> Expr | None:
        if text is None:
            return None
        place = Place(document, (*path, key))
        return compile_expression(text, place=place, scope=scope, want="bool", out=out)

    return Adjust(
        when=expression(spec.when, "when"),
        drop=spec.drop or (),
        clamp=dict(spec.clamp or {}),
        map={name: dict(words) for name, words in (spec.map or {}).items()},
        refuse=expression(spec.refuse, "refuse"),
        why=spec.why,
    )


def _check(name: str, request: T, document: Document, path: Path, out: Diagnostics, *, key: bool) -> None:
    """A dotted name is one of the canonical request's; below a free map any name is."""
    here: T | None = request
    done: list[str] = []
    for step in name.split("."):
        while here is not None and here.kind == "list":
            here = here.item
        if here is None or here.kind in ("any", "map"):
            return
        known = list(fields_of(here.name)) if here.kind == "struct" else []
        if step not in known:
            owner = ".".join(done)
            what = f"`{owner}` has no field `{step}`" if done else f"a request has no field `{step}`"
            near = did_you_mean(step, known)
            hint = f"did you mean `{'.'.join([*done, near])}`?" if near else None
            if hint is None and known:
                hint = f"there is: {', '.join(known)}"
            out.add("E411", what, document.key_span(path) if key else document.span(path), help=hint)
            return
        here = fields_of(here.name)[step]
        done.append(step)
