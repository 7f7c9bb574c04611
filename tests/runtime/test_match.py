"""Which route takes a request."""

from __future__ import annotations

import pytest

from engine.errors import NoRoute
from engine.plan.types import Match
from engine.plan.values import Expr
from engine.runtime.match import NAMES_TOLD, Matcher


def when(source: str) -> Expr:
    return Expr(source=source, scope="route", type="bool", ir=None)


TABLE = [
    ("exact", Match(models=("gpt-4o", "gpt-4o-mini"))),
    ("short", Match(models=("gpt-*",))),
    ("long", Match(models=("gpt-4o-*",))),
    ("all", Match(models=("*",), operations=("chat", "embeddings"))),
    ("gold", Match(models=("vip",), when=when("gold"))),
    ("silver", Match(models=("vip",), when=when("silver"))),
]


@pytest.mark.parametrize(
    ("model", "true", "route"),
    [
        ("gpt-4o", "", "exact"),
        ("gpt-4o-mini", "", "exact"),
        ("gpt-4o-mini-2024", "", "long"),
        ("gpt-5", "", "short"),
        ("gpt-", "", "short"),
        ("gp", "", "all"),
        ("", "", "all"),
        ("vip", "gold", "gold"),
        ("vip", "silver", "silver"),
        ("vip", "neither", "all"),
    ],
)
def test_exact_then_longest_prefix_then_star(model: str, true: str, route: str) -> None:
    assert Matcher(TABLE).find(model, "chat", lambda _, expr: expr.source == true) == route


def test_operations_are_worlds_of_their_own() -> None:
    matcher = Matcher(TABLE)
    assert matcher.find("gpt-4o", "embeddings", lambda *_: True) == "all"
    with pytest.raises(NoRoute, match="operations here: chat, embeddings"):
        matcher.find("gpt-4o", "rerank", lambda *_: True)


def test_nobody_takes_it() -> None:
    with pytest.raises(NoRoute) as caught:
        Matcher(TABLE[:2]).find("gtp-4o", "chat", lambda *_: True)
    assert caught.value.message == (
        "there is no model 'gtp-4o' here; did you mean 'gpt-4o'? Models: gpt-*, gpt-4o, gpt-4o-mini"
    )
    assert caught.value.status == 404


def test_long_lists_are_cut() -> None:
    matcher = Matcher([(f"r{i}", Match(models=(f"model-{i:03}",))) for i in range(NAMES_TOLD + 5)])
    with pytest.raises(NoRoute, match=r"and 5 more$"):
        matcher.find("zzz", "chat", lambda *_: True)


def test_names() -> None:
    assert Matcher(TABLE).names() == ["*", "gpt-*", "gpt-4o", "gpt-4o-*", "gpt-4o-mini", "vip"]
