"""`hedge`, `cascade`, `ensemble` and `mirror` by hand: what they ask for, what they make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.kinds.cascade import Cascade, Check
from engine.kinds.effects import Outcome
from engine.kinds.ensemble import Ensemble
from engine.kinds.hedge import UNKNOWN_MS, Hedge
from engine.kinds.mirror import Mirror
from engine.kinds.walk import targets
from engine.plan.types import Call, Node
from engine.plan.values import Expr
from engine.upstream.protocol import Whole


def say(text: str, **message: Any) -> Whole:
    content = [{"type": "text", "text": text}, *message.get("calls", ())]
    return Whole({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})  # type: ignore[typeddict-item] # a test's shorthand


def text(outcome: Outcome) -> str:
    found: str = outcome.reply.reply["choices"][0]["message"]["content"][0]["text"]
    return found


# --- hedge


def hedge(*children: Node, after_ms: int | None = 100, percentile: int | None = None) -> Hedge:
    return Hedge("race", Call(), children, after_ms, percentile)


@pytest.mark.parametrize(
    ("node_after", "known", "begins"),
    [
        ((100, None), {}, [0, 100, 200]),
        ((0, None), {}, [0, 0, 0]),
        ((None, 95), {"a": 812.3}, [0, 813, 1626]),
        ((None, 95), {"b": 812.3}, [0, UNKNOWN_MS, 2 * UNKNOWN_MS]),
    ],
)
def test_when_each_begins(kit: Any, node_after: Any, known: dict[str, float], begins: list[int]) -> None:
    hand = kit.Hand(measures={"p95": known})
    outcome = hand.walk(hedge(kit.use("a"), kit.use("b"), kit.use("c"), after_ms=node_after[0],
                              percentile=node_after[1]))  # fmt: skip
    assert outcome.deployment == "a"
    ((*race,),) = hand.races
    assert [branch.after_ms for branch in race] == begins
    assert [branch.role for branch in race] == ["answer", "hedge", "hedge"]
    assert not any(branch.whole for branch in race)
    assert hand.notes[-1] == ("race", "hedged")


def test_a_hedge_of_fixed_answers_measures_nobody(kit: Any) -> None:
    hand = kit.Hand()
    assert hand.walk(hedge(kit.respond("hi"), kit.use("a"), after_ms=None, percentile=50)).final
    assert hand.measured == []


def test_a_hedge_that_nobody_wins(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["auth"]})
    outcome = hand.walk(hedge(kit.use("a"), kit.use("b")))
    assert outcome.failure == "auth"
    assert ("race", "hedged") not in hand.notes


def test_who_times_out_in_a_race_is_left_to_the_next(kit: Any) -> None:
    """As in a chain: `timeout` is not retried in place where another is left, and is by the last one."""
    hand = kit.Hand({"a": ["timeout"], "b": ["timeout", "ok"]})
    node = hedge(kit.use("a", retry_extra=1), kit.use("b", retry_extra=1))
    assert hand.walk(node).deployment == "b"
    assert hand.called == ["a", "b", "b"]


def test_a_hedges_targets_are_all_of_them(kit: Any) -> None:
    node = hedge(kit.use("a"), kit.fallback(kit.use("b"), kit.use("c")))
    assert [use.deployment for use in targets(node, kit.Hand())] == ["a", "b", "c"]


# --- cascade


def cascade(*children: Node, checks: tuple[Check, ...], deliver: bool = True, **call: Any) -> Cascade:
    return Cascade("steps", Call(**call), children, checks, deliver)


def condition(source: str) -> Check:
    return Check(condition=Expr(source=source, scope="answer", type="bool", ir=["c", source]))


SHORT = {"short": lambda answer: answer.length < 3}


def test_an_answer_that_passes(kit: Any) -> None:
    hand = kit.Hand({"a": [say("long")]}, values=SHORT)
    assert text(hand.walk(cascade(kit.use("a"), kit.use("b"), checks=(condition("short"),)))) == "long"
    (((only,),)) = hand.gathered
    assert only.whole
    assert hand.called == ["a"]


@pytest.mark.parametrize(
    ("script", "deliver", "called", "outcome", "notes"),
    [
        ({"a": ["x"], "b": ["long"]}, True, "ab", "long", ["escalated"]),
        ({"a": ["x"], "b": ["y"]}, True, "ab", "y", ["escalated"]),
        ({"a": ["x"], "b": ["y"]}, False, "ab", "!invalid_output", ["escalated", "escalated"]),
        ({"a": ["x"], "b": ["!server"]}, True, "ab", "x", ["escalated", "answered"]),
        ({"a": ["x"], "b": ["!server"]}, False, "ab", "!server", ["escalated"]),
        ({"a": ["!server"], "b": ["y"]}, True, "ab", "y", ["moved_on"]),
        ({"a": ["!server"], "b": ["y"]}, False, "ab", "!invalid_output", ["moved_on", "escalated"]),
        ({"a": ["!server"], "b": ["!auth"]}, True, "ab", "!auth", ["moved_on"]),
        ({"a": ["!bad_request"], "b": ["y"]}, True, "a", "!bad_request", ["stopped"]),
    ],
)
def test_stages(
    kit: Any, script: dict[str, list[str]], deliver: bool, called: str, outcome: str, notes: list[str]
) -> None:
    made = {
        name: [entry[1:] if entry.startswith("!") else say(entry) for entry in entries]
        for name, entries in script.items()
    }
    hand = kit.Hand(made, values=SHORT)
    children = [kit.use(name, retry_extra=0) for name in "ab"]
    found = hand.walk(cascade(*children, checks=(condition("short"),), deliver=deliver))
    assert (text(found) if found.ok else f"!{found.failure}") == outcome
    assert "".join(hand.called) == called
    assert [what for node, what in hand.notes if node == "steps"] == notes


def test_a_stage_that_stops_leaves_the_answer_before_it(kit: Any) -> None:
    hand = kit.Hand({"a": [say("x")], "b": ["bad_request"]}, values=SHORT)
    node = cascade(kit.use("a"), kit.use("b"), kit.use("c"), checks=(condition("short"),))
    assert text(hand.walk(node)) == "x"
    assert hand.called == ["a", "b"]


def test_a_stage_that_is_skipped_moves_on(kit: Any) -> None:
    hand = kit.Hand({"b": [say("y")]}, unfit={"a": "unsupported"})
    node = cascade(kit.use("a"), kit.use("b"), checks=(Check(word="refusal"),), failures=("server",))
    assert text(hand.walk(node)) == "y"


def test_the_graphs_own_word_is_not_looked_at(kit: Any) -> None:
    hand = kit.Hand(values=SHORT)
    node = cascade(kit.respond("x"), kit.use("a"), checks=(condition("short"),))
    assert hand.walk(node).reply == "x"


def test_beside_chats_it_is_a_fallback(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"]}, values=SHORT)
    hand.operation = "embeddings"
    assert hand.walk(cascade(kit.use("a"), kit.use("b"), checks=(condition("short"),))).deployment == "b"
    assert hand.gathered == []


@pytest.mark.parametrize(
    ("said", "passes"),
    [('{"score": 0.7}', True), ('{"score": 0.69}', False), ("good", False), ("!server", False)],
)
def test_judges(kit: Any, said: str, passes: bool) -> None:
    verdict: Any = said[1:] if said.startswith("!") else say(said)
    request = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "why?"}]}]}
    hand = kit.Hand({"a": [say("so")], "b": [say("dear")], "j": [verdict]}, request=request)
    judge = Check(judge=kit.use("j", retry_extra=0), below=0.7)
    assert text(hand.walk(cascade(kit.use("a"), kit.use("b"), checks=(judge,)))) == (
        "so" if passes else "dear"
    )
    (asked,) = hand.consulted
    assert (asked.operation, asked.role) == ("chat", "judge")
    system, user = asked.request["messages"]
    assert system["role"] == "system"
    assert json.loads(user["content"][0]["text"]) == {
        "conversation": [{"role": "user", "text": "why?"}],
        "answer": "so",
    }


def test_checks_are_asked_in_their_order(kit: Any) -> None:
    """What costs nothing may stand first: then nobody is asked."""
    hand = kit.Hand({"a": [say("x")], "b": [say("y")]}, values=SHORT)
    checks = (Check(word="schema"), Check(word="refusal"), condition("short"), Check(judge=kit.use("j")))
    hand.walk(cascade(kit.use("a"), kit.use("b"), checks=checks))
    assert hand.consulted == []


# --- ensemble


def ensemble(
    *children: Node, merge: Any = "vote", judge: Node | None = None, weights: tuple[float, ...] = ()
) -> Ensemble:
    return Ensemble("all", Call(), children, weights or (1.0,) * len(children), merge, judge)


@pytest.mark.parametrize(
    ("merge", "said", "verdict", "found", "asked"),
    [
        ("vote", "xyy", None, "y", 0),
        ("vote", "xyz", '{"best": 3}', "z", 1),
        ("vote", "xxyyz", '{"best": 2}', "y", 1),
        ("vote", "xxyyz", '{"best": 3}', "x", 1),  # only those that are tied can be named
        ("vote", "xyz", "!server", "x", 1),
        ("vote", "xxx", '{"best": 3}', "x", 0),
        ("best_of", "xyy", '{"best": 1}', "x", 1),
        ("best_of", "xxx", '{"best": 2}', "x", 0),
        ("best_of", "!y!", '{"best": 2}', "y", 0),
        ("best_of", "xyz", "nonsense", "x", 1),
        ("fuse", "xyz", "all of it", "all of it", 1),
        ("fuse", "xxx", "all of it", "x", 0),
        ("fuse", "xyz", "!server", "x", 1),
        ("fuse", "xyz", "", "x", 1),
    ],
)
def test_merges(kit: Any, merge: str, said: str, verdict: str | None, found: str, asked: int) -> None:
    names = "abcde"[: len(said)]
    script: dict[str, list[Any]] = {
        name: ["server" if each == "!" else say(each)] for name, each in zip(names, said, strict=True)
    }
    if verdict is not None:
        script["j"] = [verdict[1:] if verdict.startswith("!") else say(verdict)]
    hand = kit.Hand(script)
    members = [kit.use(name, retry_extra=0) for name in names]
    judge = kit.use("j", retry_extra=0) if verdict is not None else None
    assert text(hand.walk(ensemble(*members, merge=merge, judge=judge))) == found
    assert len(hand.consulted) == asked
    ((*branches,),) = hand.gathered
    assert len(branches) == len(said)


@pytest.mark.parametrize(
    ("weights", "found"), [((3.0, 1.0, 1.0), "x"), ((1.9, 1.0, 1.0), "y"), ((2.0, 1.0, 1.0), "x")]
)
def test_weights(kit: Any, weights: tuple[float, ...], found: str) -> None:
    hand = kit.Hand({"a": [say("x")], "b": [say("y")], "c": [say("y")]})
    members = [kit.use(name) for name in "abc"]
    assert text(hand.walk(ensemble(*members, merge="weighted", weights=weights))) == found


def test_calls_of_tools_are_voted_on(kit: Any) -> None:
    call = {"type": "tool_call", "name": "f", "arguments": "{}"}
    script = {"a": [say("")], "b": [say("", calls=[call])], "c": [say("", calls=[call])], "j": [say("no")]}
    hand = kit.Hand(script)
    members = [kit.use(name) for name in "abc"]
    outcome = hand.walk(ensemble(*members, merge="fuse", judge=kit.use("j")))
    assert outcome.deployment == "b"
    assert hand.consulted == []


def test_nobody_answers(kit: Any) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["auth"]}, unfit={"c": "unsupported"})
    members = [kit.use(name, retry_extra=0) for name in "abc"]
    assert hand.walk(ensemble(*members)).failure == "auth"


def test_a_member_that_is_the_graphs_own_word(kit: Any) -> None:
    hand = kit.Hand()
    outcome = hand.walk(ensemble(kit.use("a"), kit.reject()))
    assert (outcome.final, outcome.code) == (True, "not_allowed")


@pytest.mark.parametrize(
    ("script", "deployment", "failure"),
    [({"a": ["server"]}, "b", None), ({"a": ["server"], "b": ["auth"]}, "b", "auth")],
)
def test_beside_chats_members_are_asked_in_order(
    kit: Any, script: dict[str, list[str]], deployment: str, failure: str | None
) -> None:
    hand = kit.Hand(script)
    hand.operation = "embeddings"
    outcome = hand.walk(ensemble(*(kit.use(name, retry_extra=0) for name in "ab")))
    assert (outcome.deployment, outcome.failure) == (deployment, failure)
    assert hand.gathered == []


# --- mirror


@pytest.mark.parametrize(
    ("share", "draws", "copies"),
    [(1.0, (), 1), (0.1, (0.09,), 1), (0.1, (0.1,), 0), (0.0, (0.0,), 0)],
)
def test_a_share_is_copied(kit: Any, share: float, draws: tuple[float, ...], copies: int) -> None:
    hand = kit.Hand({"a": ["server"], "b": ["ok"]}, draws=draws)
    node = Mirror("m", Call(), kit.fallback(kit.use("a"), kit.use("b")), kit.use("new"), share)
    assert hand.walk(node).deployment == "b"
    assert [(aside.node.id, aside.role) for aside in hand.asides] == [("new", "mirror")] * copies
    assert [use.deployment for use in targets(node, hand)] == ["a", "b"]
    assert hand.called == ["a", "b"]
