"""All expressions of a workspace, compiled: checks compare them, lowering puts them into the plan."""

from __future__ import annotations

from functools import cache
from typing import Final

from engine.compiler.document import Document, Path
from engine.compiler.expr import Place, Scope, compile_expression, route_scope
from engine.compiler.load import Source
from engine.compiler.mentions import ExpressionText, mentions
from engine.diagnostics import Diagnostics
from engine.plan.types import Expr
from engine.spec.workspace import Workspace

#: Keys whose expression is no condition: a value to group by, or a number.
_VALUES: Final = {
    **dict.fromkeys(("per", "by", "scope_by", "fair_by"), "string"),
    "priority": "number",
}


def scope_of(spec: Workspace) -> Scope:
    """What expressions may read here: the declared tags and organisations, so that a typo is an error."""
    keys = spec.keys
    tags = keys.tags if keys is not None else None
    return route_scope(
        tags=None if tags is None else {name: tag.values for name, tag in tags.items()},
        orgs=None if keys is None else keys.orgs,
    )


def compile_expressions(
    spec: Workspace, document: Document, scope: Scope, out: Diagnostics
) -> dict[Path, Expr]:
    """Path -> expression, for every one without a fault."""
    found: dict[Path, Expr] = {}
    for mention in mentions(spec):
        if isinstance(mention, ExpressionText):
            want = _VALUES.get(mention.field, "bool")
            place = Place(document, mention.path)
            expr = compile_expression(mention.text, place=place, scope=scope, want=want, out=out)
            if expr is not None:
                found[mention.path] = expr
    return found


@cache
def own_condition(text: str) -> Expr:
    """A condition that the compiler itself asks about; `text` is ours, so a fault in it is a bug."""
    out = Diagnostics()
    place = Place(Document(Source("", "routes", text, ""), text, {}, {}), ())
    found = compile_expression(text, place=place, scope="route", out=out)
    assert found is not None, [str(d) for d in out]
    return found
