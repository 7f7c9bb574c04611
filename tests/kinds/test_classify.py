"""`classify`: which label, by each way; what is below reads it; nothing makes it fail."""

from __future__ import annotations

from typing import Any

import pytest


def below(kit: Any) -> Any:
    """A switch that sends each label of the tests to a target of its name."""
    names = ("code", "prose", "short", "long", "german", "easy", "hard")
    return kit.switch(*((f"task is {name}", kit.use(name)) for name in names), otherwise=kit.use("rest"))


def label(kit: Any, name: str, *texts: str, most: float | None = None) -> Any:
    return kit.Label(name, texts, most)


def walked(kit: Any, hand: Any, via: str, *labels: Any, **options: Any) -> str:
    outcome = hand.walk(kit.classify(below(kit), via, *labels, **options))
    assert outcome.ok
    assert ("labels", "labelled") in hand.notes
    (called,) = hand.called
    return str(called)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Traceback (most recent call last):", "code"),
        ("please define it", "rest"),
        ("DEF main():", "code"),
        ("a poem about a traceback", "code"),
        ("a poem about def ault", "code"),
        ("a poem", "prose"),
        ("", "rest"),
    ],
)
def test_the_first_label_with_a_keyword(kit: Any, text: str, taken: str) -> None:
    labels = (label(kit, "code", "traceback", "def "), label(kit, "prose", "POEM"))
    assert walked(kit, kit.Hand(view={"text": text}), "keywords", *labels) == taken


@pytest.mark.parametrize(("tokens", "taken"), [(10, "short"), (100, "short"), (101, "long"), (5_000, "rest")])
def test_length(kit: Any, tokens: int, taken: str) -> None:
    labels = (label(kit, "short", most=100), label(kit, "long", most=2_000))
    assert walked(kit, kit.Hand(view={"input_tokens": tokens}), "length", *labels) == taken


@pytest.mark.parametrize(
    ("language", "taken"), [("de", "german"), ("nds", "german"), ("fr", "rest"), ("", "rest")]
)
def test_language(kit: Any, language: str, taken: str) -> None:
    labels = (label(kit, "german", "de", "nds"),)
    assert walked(kit, kit.Hand(view={"language": language}), "language", *labels) == taken


@pytest.mark.parametrize(
    ("view", "taken"),
    [
        ({"text": "hi"}, "easy"),
        ({"text": "Prove it step by step, then compare both. Why?", "features": {"reasoning"}}, "hard"),
        ({"text": "Prove it", "input_tokens": 9_000, "features": {"tools", "reasoning", "image"}}, "rest"),
    ],
)
def test_complexity(kit: Any, view: dict[str, Any], taken: str) -> None:
    labels = (label(kit, "easy", most=0.2), label(kit, "hard", most=0.6))
    assert walked(kit, kit.Hand(view=view), "complexity", *labels) == taken


# --- asking somebody

MODEL = [("code", "writing or mending programs"), ("prose", "letters, poems, reports")]


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ('{"label": "prose"}', "prose"),
        ('{"label": "rest"}', "rest"),
        ('{"label": "poetry"}', "rest"),
        ("prose", "rest"),
        ("!server", "rest"),
    ],
)
def test_a_judge_names_it(kit: Any, answer: str, taken: str) -> None:
    labels = [label(kit, name, text) for name, text in MODEL]
    hand = kit.Hand(consults={"judge": [answer]}, view={"text": "a sonnet, please"})
    assert walked(kit, hand, "model", *labels, asks="judge") == taken
    (asked,) = hand.consulted
    assert (asked.operation, asked.role) == ("chat", "classify")
    assert "writing or mending programs" in asked.request["messages"][-1]["content"][0]["text"]


def vectors(*found: tuple[float, ...]) -> dict[str, Any]:
    return {"embeddings": [{"index": place, "vector": list(each)} for place, each in enumerate(found)]}


def test_the_nearest_example(kit: Any) -> None:
    labels = [label(kit, "code", "mend this", "a stack trace"), label(kit, "prose", "a poem")]
    first = vectors((0.1, 0.9), (1.0, 0.0), (2.0, 0.1), (0.0, 5.0))
    hand = kit.Hand(consults={"minilm": [first, vectors((3.0, 0.2))]}, view={"text": "verses"})
    assert walked(kit, hand, "embedding", *labels, asks="minilm") == "prose"
    hand.called.clear()
    assert walked(kit, hand, "embedding", *labels, asks="minilm") == "code"
    inputs = [[each["text"] for each in asked.request["input"]] for asked in hand.consulted]
    assert inputs == [["verses", "mend this", "a stack trace", "a poem"], ["verses"]]


@pytest.mark.parametrize(
    "reply", ["!server", vectors((1.0, 0.0)), vectors((0.0,), (1.0,)), {"embeddings": []}]
)
def test_an_embedder_that_does_not_tell(kit: Any, reply: Any) -> None:
    hand = kit.Hand(consults={"minilm": [reply]}, view={"text": "verses"})
    assert walked(kit, hand, "embedding", label(kit, "prose", "a poem"), asks="minilm") == "rest"
    assert hand.kept == {}


def test_no_text_is_not_embedded(kit: Any) -> None:
    hand = kit.Hand(view={"text": " "})
    assert walked(kit, hand, "embedding", label(kit, "prose", "a poem"), asks="minilm") == "rest"
    assert hand.consulted == []


def test_a_vector_in_base64(kit: Any) -> None:
    packed = {"embeddings": [{"base64": "AACAPwAAAAA="}, {"base64": "AACAPwAAAAA="}]}
    hand = kit.Hand(consults={"minilm": [packed]}, view={"text": "verses"})
    assert walked(kit, hand, "embedding", label(kit, "prose", "a poem"), asks="minilm") == "prose"


# --- in a graph


def test_the_label_reaches_nested_nodes_and_no_others(kit: Any) -> None:
    inner = kit.classify(below(kit), "keywords", label(kit, "code", "x"))
    after = kit.switch(("task is code", kit.use("leaked")), otherwise=kit.use("outside"))
    hand = kit.Hand({"code": ["server"]}, view={"text": "x"})
    hand.walk(kit.fallback(inner, after))
    assert hand.called == ["code", "outside"]


def test_who_is_left_depends_on_the_label(kit: Any) -> None:
    """A timeout is repeated in place where the label leaves nobody who fits."""
    after = kit.classify(below(kit), "keywords", label(kit, "code", "x"))
    for unfit, called in (({}, ["a", "code"]), ({"code": "unsupported"}, ["a", "a"])):
        hand = kit.Hand({"a": ["timeout"]}, unfit=unfit, view={"text": "x"})
        hand.walk(kit.fallback(kit.use("a", retry_extra=1), after))
        assert hand.called == called


def test_where_only_asking_tells_all_labels_count(kit: Any) -> None:
    after = kit.classify(below(kit), "model", label(kit, "code", "programs"), asks="judge")
    hand = kit.Hand({"a": ["timeout"]}, unfit={"code": "unsupported"}, consults={"judge": ["{}"]})
    hand.walk(kit.fallback(kit.use("a", retry_extra=1), after))
    assert hand.called == ["a", "rest"]
