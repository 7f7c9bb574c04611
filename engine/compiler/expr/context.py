"""The scopes' names and their types: what `plan/scopes.py` orders, this file describes.

`scope("request_write")` is a scope by name. `route_scope(...)` is the one of routes, with what the workspace
declares: client-key tags and organisations, so that a typo in `key.tags.tier == "glod"` is an error.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from engine.compiler.expr.types import (
    ANY,
    BOOL,
    INTEGER,
    NUMBER,
    STRING,
    T,
    from_hint,
    list_of,
    map_of,
    register,
    struct,
)
from engine.plan.scopes import SCOPES, base_scope
from engine.plan.vendors import Facts
from engine.wire.operations import form

#: What `request.has(...)` can be asked.
ABILITIES: Final = ("image", "audio", "file", "tools", "json_schema", "reasoning")
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: Names that mean something, but not here: name -> where.
ELSEWHERE: Final[dict[str, str]] = {
    "label": "below a `classify`, as `label.NAME`",
    "answer": "in the `escalate` of a `cascade`",
    "budget": 'in the conditions of nodes, as `budget("name").used`',
    "deployment": "in the `score` of a `balance` and the `per` of a budget",
}


@dataclass(frozen=True)
class Scope:
    """Names with types, in the order of the bound function's parameters.

    `strict`: route expressions, where operands of `and`, `or` and `not` are booleans. `names` are shorthands
    that stand for a field of a parameter: `now` is `clock.now`. `tags` are the declared client-key tags with
    their values (None = any value); None = the workspace declares none. `budgets` are those whose use may be
    read here; None = it cannot be.
    """

    name: str
    types: Mapping[str, T]
    strict: bool = False
    names: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    tags: Mapping[str, tuple[str, ...] | None] | None = None
    orgs: tuple[str, ...] | None = None
    budgets: tuple[str, ...] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        return SCOPES[self.name]

    def visible(self) -> list[str]:
        """Every name that can begin an expression here, for messages."""
        shown = [name for name in self.parameters if name in self.types]
        shown = [name for name in shown if not (self.strict and name == "clock")]
        return shown + sorted(self.names)


_VIEWS: Final[dict[str, T]] = {
    "request": register(
        "request view",
        {
            "model": STRING, "route": STRING, "operation": STRING, "dialect": STRING, "stream": BOOL,
            "input_tokens": INTEGER, "max_output_tokens": INTEGER.maybe(), "user": STRING,
            "conversation": STRING, "text": STRING, "language": STRING, "metadata": map_of(STRING),
        },
        "attr",
    ),
    "key": register(
        "key view", {"id": STRING, "name": STRING, "org": STRING, "tags": map_of(STRING)}, "attr"
    ),
    "clock": register("clock view", {"now": NUMBER, "weekday": T("string", values=WEEKDAYS)}, "attr"),
}  # fmt: skip

_ANSWER: Final = register(
    "answer view",
    {
        "text": STRING, "length": INTEGER, "finish": STRING, "refused": BOOL, "tool_calls": INTEGER,
        "output_tokens": INTEGER,
    },
    "attr",
)  # fmt: skip

_DEPLOYMENT: Final = register(
    "deployment view",
    {
        "name": STRING, "provider": STRING, "model": STRING, "region": STRING, "residency": STRING,
        "quality": NUMBER.maybe(), "cost": NUMBER.maybe(), "latency": NUMBER.maybe(), "in_flight": NUMBER,
        "headroom": NUMBER.maybe(),
    },
    "entry",
)  # fmt: skip

_PLACE: Final = register(
    "place view",
    {"name": STRING, "provider": STRING, "model": STRING, "region": STRING, "residency": STRING},
    "entry",
)

_TARGET: Final = register(
    "target",
    {
        "name": STRING.maybe(), "wire_model": STRING, "model": STRING, "stream": BOOL.maybe(),
        "region": STRING.maybe(),
        "max_tokens": INTEGER.maybe(), "params": map_of(ANY).maybe(), "operation": STRING.maybe(),
        "base_url": STRING.maybe(), "settings": map_of(STRING).maybe(), "api_version": STRING.maybe(),
    },
)  # fmt: skip
#: Shorthands of scopes outside routes.
_NAMES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "place": {"region": ("target", "region"), "settings": ("target", "settings")},
}
_MODEL: Final = register("model", {"id": STRING, "owned_by": STRING.maybe(), "created": INTEGER.maybe()})
_FACTS: Final = register(
    "facts", {name: from_hint(hint).maybe() for name, hint in typing.get_type_hints(Facts).items()}
)


def route_scope(
    *, tags: Mapping[str, Sequence[str] | None] | None = None, orgs: Sequence[str] | None = None
) -> Scope:
    """The scope of `when`, `per`, `by`, `only`; `tags` and `orgs` as declared, None = not declared."""
    return Scope(
        "route",
        _VIEWS,
        strict=True,
        names={"now": ("clock", "now"), "weekday": ("clock", "weekday")},
        tags=None if tags is None else {k: None if v is None else tuple(v) for k, v in tags.items()},
        orgs=None if orgs is None else tuple(orgs),
    )


def answer_scope(route: Scope) -> Scope:
    """The scope of `escalate`: a route's, and the answer that is looked at."""
    return replace(route, name="answer", types={**route.types, "answer": _ANSWER})


def deployment_scope(route: Scope) -> Scope:
    """The scope of `score`: a route's, and the deployment that is scored."""
    return replace(route, name="deployment", types={**route.types, "deployment": _DEPLOYMENT})


def budget_scope(route: Scope) -> Scope:
    """The scope of a budget's `per`: a route's, and the deployment that is called."""
    return replace(route, name="budget", types={**route.types, "deployment": _PLACE})


def below_classify(route: Scope, labels: Mapping[str, tuple[str, ...]]) -> Scope:
    """A route's scope where these labels are given, each with the values that it may have."""
    if not labels:
        return route
    name = "label " + repr(sorted(labels.items()))
    fields = {label: T("string", values=values) for label, values in labels.items()}
    return replace(route, types={**route.types, "label": register(name, fields, "entry")})


@cache
def scope(name: str) -> Scope:
    """A scope by its name in `plan/scopes.py`."""
    if name == "route":
        return route_scope()
    if name == "answer":
        return answer_scope(route_scope())
    if name == "deployment":
        return deployment_scope(route_scope())
    if name == "budget":
        return budget_scope(route_scope())
    forms = form(name.rpartition(".")[0])
    kinds: dict[str, T] = {
        "body": map_of(ANY), "headers": map_of(STRING), "status": INTEGER, "facts": _FACTS, "target": _TARGET,
        "provider": map_of(ANY), "reply": struct(forms.reply), "request": struct(forms.request),
        "state": map_of(ANY), "name": STRING.maybe(), "error": struct("Error"), "models": list_of(_MODEL),
        "secrets": map_of(STRING),
        "event": map_of(ANY) if base_scope(name) == "stream_read" else struct("Event"),
    }  # fmt: skip
    return Scope(
        name, {parameter: kinds[parameter] for parameter in SCOPES[name]}, names=_NAMES.get(name, {})
    )
