"""Two routes of one rank that can take the same request: nobody could say which of them would.

Two patterns are of one rank for a name only if they are the same text, so routes are compared within a
pattern; their conditions must exclude each other, provably.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.expr import disjoint, equals
from engine.diagnostics import Related, Span
from engine.plan.types import Match
from engine.plan.values import Expr

Taker = tuple[str, Expr | None]


def check(subject: Subject) -> None:
    takers: dict[tuple[str, str], list[Taker]] = defaultdict(list)
    for name, route in sorted(subject.lowered.routes.items()):
        _twice_in_one(subject, name, route.match)
        for operation in route.match.operations:
            for model in dict.fromkeys(route.match.models):
                takers[operation, model].append((name, route.match.when))
    told: set[tuple[str, str]] = set()
    for (_, model), routes in takers.items():
        for first, second in _overlapping(routes):
            if (first[0], second[0]) not in told:
                told.add((first[0], second[0]))
                _report(subject, model, first, second)


def _overlapping(routes: list[Taker]) -> list[tuple[Taker, Taker]]:
    if len(routes) < 2 or _told_apart(routes):
        return []
    return [(a, b) for a, b in combinations(routes, 2) if not _excluded(a[1], b[1])]


def _told_apart(routes: list[Taker]) -> bool:
    """Conditions `field == text` over one field, all texts different: no need to compare pairs."""
    found = [None if when is None else equals(when) for _, when in routes]
    fields = {pair[0] for pair in found if pair is not None}
    texts = {repr(pair[1]) for pair in found if pair is not None}
    return None not in found and len(fields) == 1 and len(texts) == len(routes)


def _excluded(a: Expr | None, b: Expr | None) -> bool:
    return a is not None and b is not None and disjoint(a, b)


def _report(subject: Subject, model: str, first: Taker, second: Taker) -> None:
    subject.out.add(
        "E220",
        f"the routes `{first[0]}` and `{second[0]}` both take the model `{model}`",
        _place(subject, second[0], model),
        help=f"for example {_example(model, first[1], second[1])}; give them other names in `match.models`, "
        "or a "
        "`match.when` each that excludes the other",
        related=[Related(f"`{first[0]}` takes it here", _place(subject, first[0], model))],
    )


def _example(model: str, *whens: Expr | None) -> str:
    """A request that both take, as far as the conditions tell."""
    name = model[:-1] or "any" if model.endswith("*") else model
    request = f'{{"model": "{name}"}}'
    conditions = dict.fromkeys(f"`{when.source.strip()}`" for when in whens if when is not None)
    return f"{request} where {' and '.join(conditions)}" if conditions else request


def _place(subject: Subject, route: str, model: str) -> Span:
    path: Path = ("routes", route)
    spec = subject.spec.routes[route]
    if spec.match is None or spec.match.models is None:
        return subject.document.key_span(path)
    return subject.document.span((*path, "match", "models", spec.match.models.index(model)))


def _twice_in_one(subject: Subject, name: str, match: Match) -> None:
    for index, model in enumerate(match.models):
        if model in match.models[:index]:
            subject.out.add(
                "W221",
                f"`{model}` is listed twice",
                subject.document.span(("routes", name, "match", "models", index)),
                help="remove one",
            )
