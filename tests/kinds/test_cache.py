"""`cache`: what is a hit, among whom, and that it never fails a request."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.kinds.cache import MOST_QUESTIONS


@pytest.fixture
def hand(kit: Any) -> Any:
    made = kit.Hand(values={"key.org": "acme"})
    made.question = "why?"
    return made


def test_the_second_time_nobody_is_asked(kit: Any, hand: Any) -> None:
    node = kit.cache(kit.use("a"))
    assert hand.walk(node).reply == hand.walk(node).reply == "from a"
    assert (hand.called, hand.cached) == (["a"], ["miss", "hit"])


def test_another_question_is_another_answer(kit: Any, hand: Any) -> None:
    node = kit.cache(kit.use("a"))
    hand.walk(node)
    hand.question = "why not?"
    hand.walk(node)
    assert hand.cached == ["miss", "miss"]


def test_it_is_kept_so_long(kit: Any, hand: Any) -> None:
    node = kit.cache(kit.use("a"), 60_000)
    for now in (0.0, 59.0, 60.0):
        hand.now = now
        hand.walk(node)
    assert hand.cached == ["miss", "hit", "miss"]


def test_errors_are_not_kept(kit: Any, hand: Any) -> None:
    hand.script = {"a": ["bad_request", "ok"]}
    node = kit.cache(kit.use("a"))
    assert not hand.walk(node).ok
    assert hand.walk(node).ok
    assert hand.cached == ["miss", "miss"]


def test_what_may_not_be_kept_passes_by(kit: Any, hand: Any) -> None:
    hand.refused = "hosted tools act again each time"
    node = kit.cache(kit.use("a"))
    hand.walk(node)
    hand.walk(node)
    assert (hand.cached, hand.called, hand.answers) == (["bypass"] * 2, ["a", "a"], {})


def test_a_client_may_want_it_anew(kit: Any, hand: Any) -> None:
    node = kit.cache(kit.use("a"))
    hand.walk(node)
    hand.view.header = {"cache-control": "no-cache"}.get
    hand.walk(node)
    hand.view.header = lambda _: ""
    hand.walk(node)
    assert (hand.cached, hand.called) == (["miss", "miss", "hit"], ["a", "a"])


@pytest.mark.parametrize(
    ("within", "orgs", "values", "second"),
    [
        (True, ("acme", "acme"), ("x", "x"), "hit"),
        (True, ("acme", "globex"), ("x", "x"), "miss"),
        (True, ("acme", "acme"), ("x", "y"), "miss"),
        (False, ("acme", "globex"), ("x", "x"), "hit"),
        (False, ("acme", "acme"), ("x", "y"), "miss"),
    ],
)
def test_never_across_a_scope(
    kit: Any, hand: Any, within: bool, orgs: tuple[str, str], values: tuple[str, str], second: str
) -> None:
    node = kit.cache(kit.use("a"), by="scope", within=within)
    for org, value in zip(orgs, values, strict=True):
        hand.org, hand.values = org, {"scope": value}
        hand.walk(node)
    assert hand.cached == ["miss", second]


def test_who_would_be_led_elsewhere_gets_no_answer_of_here(kit: Any, hand: Any) -> None:
    """Gold goes to the big model: silver must not get its answers, nor gold those of the small one."""
    node = kit.cache(kit.switch(("gold", kit.use("big")), otherwise=kit.use("small")))
    hand.walk(node)
    hand.true = ("gold",)
    hand.walk(node)
    assert (hand.called, hand.cached) == (["small", "big"], ["miss", "miss"])


def test_who_may_not_use_a_target_gets_no_answer_of_it(kit: Any, hand: Any) -> None:
    """A client key without a credential there is skipped below: no kept answer gets around that."""
    node = kit.cache(kit.fallback(kit.use("a"), kit.use("b")))
    hand.walk(node)
    hand.skip["a"] = "permission"
    hand.walk(node)
    assert (hand.called, hand.cached) == (["a", "b"], ["miss", "miss"])


# --- semantic


def vector(*numbers: float) -> dict[str, Any]:
    return {"embeddings": [{"index": 0, "vector": list(numbers)}]}


def semantic(kit: Any, *replies: Any, exact_ms: int | None = None, above: float = 0.9) -> tuple[Any, Any]:
    node = kit.cache(kit.use("a"), exact_ms, kit.Semantic(above, 60_000, kit.use("minilm")))
    hand = kit.Hand(values={"key.org": "acme"}, consults={"minilm": list(replies)})
    return node, hand


def ask(hand: Any, node: Any, question: str) -> str:
    hand.question = question
    assert hand.walk(node).ok
    return str(hand.cached[-1])


def test_a_question_alike_is_a_hit(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(0.99, 0.05), vector(0, 1))
    assert [ask(hand, node, text) for text in ("why?", "but why?", "how?")] == ["miss", "hit", "miss"]
    assert hand.called == ["a", "a"]
    assert {each.role for each in hand.consulted} == {"embed"}


def test_the_same_question_is_not_embedded_again(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0))
    assert [ask(hand, node, "why?") for _ in range(2)] == ["miss", "hit"]
    assert len(hand.consulted) == 1


def test_the_likest_answers(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(0, 1), vector(0.6, 0.8), above=0.5)
    for text in ("east", "north"):
        ask(hand, node, text)
    del hand.whys[:]
    assert ask(hand, node, "north too") == "hit"
    assert "0.800" in hand.whys[-1]


def test_an_answer_that_is_gone_is_not_taken(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(1, 0))
    ask(hand, node, "why?")
    hand.answers.clear()
    assert ask(hand, node, "but why?") == "miss"


def test_an_old_question_is_forgotten(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(1, 0))
    ask(hand, node, "why?")
    hand.now = 60.0
    assert ask(hand, node, "but why?") == "miss"
    ((_, kept),) = [item for item in hand.kept.items() if item[0][0] == "cached questions"]
    assert len(kept) == 1


def test_other_circumstances_are_other_questions(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(1, 0))
    ask(hand, node, "why?")
    hand.values = {"key.org": "globex"}
    assert ask(hand, node, "but why?") == "miss"


@pytest.mark.parametrize("reply", ["!server", {"embeddings": []}])
def test_an_embedder_that_fails_is_a_miss(kit: Any, reply: Any) -> None:
    node, hand = semantic(kit, reply)
    assert ask(hand, node, "why?") == "miss"
    assert ask(hand, node, "why?") == "hit"


def test_a_question_of_more_than_text_is_looked_for_as_it_is(kit: Any) -> None:
    node, hand = semantic(kit)
    assert [ask(hand, node, "") for _ in range(2)] == ["miss", "hit"]
    assert hand.consulted == []


def test_questions_are_bounded(kit: Any) -> None:
    node, hand = semantic(
        kit, *(vector(math.cos(n / 80), math.sin(n / 80)) for n in range(MOST_QUESTIONS + 3)), above=1.0
    )
    for number in range(MOST_QUESTIONS + 3):
        ask(hand, node, f"question {number}")
    (kept,) = hand.kept.values()
    assert len(kept) == MOST_QUESTIONS


def test_wanting_it_anew_goes_for_questions_alike_too(kit: Any) -> None:
    node, hand = semantic(kit, vector(1, 0), vector(1, 0))
    ask(hand, node, "why?")
    hand.view.header = {"cache-control": "no-cache"}.get
    assert ask(hand, node, "but why?") == "miss"
