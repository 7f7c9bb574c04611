"""All expressions of a workspace, compiled: checks compare them, lowering puts them into the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

from engine.compiler.document import Document, Path
from engine.compiler.expr import (
    Place,
    Scope,
    answer_scope,
    below_classify,
    budget_scope,
    compile_expression,
    deployment_scope,
    fields_read,
    route_scope,
)
from engine.compiler.labels import labels_by_place
from engine.compiler.load import Source
from engine.compiler.mentions import ExpressionText, mentions
from engine.diagnostics import Diagnostics
from engine.plan.values import Expr
from engine.spec.workspace import Workspace

#: Key -> the type its expression must have; all others are conditions.
_WANTED: Final = {
    **dict.fromkeys(("per", "by", "scope_by", "fair_by"), "string"),
    **dict.fromkeys(("priority", "score"), "number"),
}
#: Key -> what its expression may read beside what all may.
#: Keys whose expressions may read how much of a budget is used, where they stand in a route or node.
_COMPARES: Final = frozenset({"when", "escalate", "score", "priority"})
_MORE: Final[dict[str, Callable[[Scope], Scope]]] = {"score": deployment_scope, "escalate": answer_scope}


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
    labels = labels_by_place(spec)
    budgets = tuple(sorted(spec.budgets))
    for mention in mentions(spec):
        if isinstance(mention, ExpressionText):
            want = _WANTED.get(mention.field, "bool")
            here = below_classify(scope, labels(mention.path)) if labels is not None else scope
            if mention.field in _COMPARES and _in_graph(mention.path):
                here = replace(here, budgets=budgets)
            if mention.field in _MORE:
                here = _MORE[mention.field](here)
            if mention.path[0] == "budgets":
                here = budget_scope(here)
            place = Place(document, mention.path)
            expr = compile_expression(mention.text, place=place, scope=here, want=want, out=out)
            if expr is not None:
                found[mention.path] = _narrow(expr)
    return found


def _in_graph(path: Path) -> bool:
    """Whether something stands where a request's route is known."""
    return path[0] == "nodes" or (path[0] == "routes" and path[2] != "match")


def _narrow(expr: Expr) -> Expr:
    """A budget's `per` that does not read the deployment is known before one is chosen."""
    if expr.scope != "budget" or any(name.startswith("deployment") for name in fields_read(expr)):
        return expr
    return replace(expr, scope="route")


@cache
def own_condition(text: str) -> Expr:
    """A condition that the compiler itself asks about; `text` is ours, so a fault in it is a bug."""
    out = Diagnostics()
    place = Place(Document(Source("", "routes", text, ""), text, {}, {}), ())
    found = compile_expression(text, place=place, scope="route", out=out)
    assert found is not None, [str(d) for d in out]
    return found
