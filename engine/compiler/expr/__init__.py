"""Expressions and templates: Jinja2's syntax, checked and typed, lowered to the IR that `plan/code.py` runs.

`compile_expression` and `compile_template` report every fault to `out`, with its place in the YAML file,
and then give None. What an expression reads, and whether it can hold, `fields` and `facts` tell.
"""

from engine.compiler.expr.context import (
    Scope,
    answer_scope,
    below_classify,
    budget_scope,
    deployment_scope,
    route_scope,
    scope,
)
from engine.compiler.expr.expression import compile_expression
from engine.compiler.expr.facts import always, disjoint, equals, negation_of
from engine.compiler.expr.fields import fields_read, reads, uses_clock, writes
from engine.compiler.expr.place import Place
from engine.compiler.expr.template import compile_template

__all__ = [
    "Place",
    "Scope",
    "always",
    "answer_scope",
    "below_classify",
    "budget_scope",
    "compile_expression",
    "compile_template",
    "deployment_scope",
    "disjoint",
    "equals",
    "fields_read",
    "negation_of",
    "reads",
    "route_scope",
    "scope",
    "uses_clock",
    "writes",
]
