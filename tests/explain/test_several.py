"""What `engine explain` tells of several calls for one request: races, judges, members, copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.explain.driver import Driven, Play, Script, drive
from engine.explain.why import prose
from engine.plan.plan import Plan

PROVIDER = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
models:
  large: {context: 128k, output: 1k, input_price: $2/M, output_price: $6/M}
  small: {context: 8k, output: 1k, input_price: $1/M, output_price: $2/M}
"""

ROUTES = """
deployments:
  big: {provider: acme, model: large}
  little: {provider: acme, model: small}
  judge: {provider: acme, model: large}
routes:
  raced: {retry: {extra: 0}, start: {hedge: [little, big], after: 500ms}}
  judged: {retry: {extra: 0}, start: {cascade: [little, big], escalate: [{judge_below: 0.5, judge: judge}]}}
  merged: {retry: {extra: 0}, start: {ensemble: [little, big], merge: best_of, judge: judge}}
  copied: {retry: {extra: 0}, start: {mirror: little, to: big}}
  labelled:
    retry: {extra: 0}
    start:
      classify:
        switch: [{when: 'label.task == "hard"', fallback: [big, {use: big, params: {seed: 1}}]}]
        else: little
      as: task
      via: model
      judge: judge
      labels: {hard: difficult questions, easy: else}
  capped:
    retry: {extra: 0}
    per_request: {calls: 1}
    start: {mirror: {hedge: [little, big], after: 1s}, to: big}
"""

HI = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
VERDICT = Play(text='{"score": 0.2, "best": 2}')


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root: Path = tmp_path_factory.mktemp("ws")
    for name, text in (("routes/r.yaml", ROUTES), ("providers.d/acme.yaml", PROVIDER)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    made, diagnostics = compile_workspace(root)
    assert made is not None, diagnostics
    return made


def asked(plan: Plan, route: str, script: Script | None = None, **request: Any) -> Driven:
    return drive(
        plan, {"model": route, "messages": [HI], "max_tokens": 100, **request}, script=script, wall=1.8e9
    )


def test_a_race(plan: Plan) -> None:
    driven = asked(plan, "raced", {"little": [Play(after_ms=2_000)], "big": [Play(after_ms=100)]})
    lines = prose(driven.record, driven.error, driven.copies)
    assert [line for line in lines if " ms  " in line] == [
        "  1.        0 ms  little  cancelled after 600 ms",
        "  2.      500 ms  big     as hedge  answered after 100 ms, $0.00008",
    ]
    assert any("race" in line and "big answered first" in line for line in lines)


def test_a_judge(plan: Plan) -> None:
    driven = asked(plan, "judged", {"judge": [VERDICT]})
    assert [(a.deployment, a.role) for a in driven.record.attempts] == [
        ("little", "answer"),
        ("judge", "judge"),
        ("big", "answer"),
    ]
    lines = prose(driven.record, driven.error, driven.copies)
    assert any("goes on: judged 0.2 at little" in line for line in lines)


def test_a_copy(plan: Plan) -> None:
    driven = asked(plan, "copied", {"big": [Play(failure="server")]})
    assert [attempt.deployment for attempt in driven.record.attempts] == ["little"]
    (copy,) = driven.copies
    assert [(a.deployment, a.role, a.failure) for a in copy.attempts] == [("big", "mirror", "server")]
    lines = prose(driven.record, driven.error, driven.copies)
    assert lines[-1] == "A copy, which no client waits for: fails: server, $0."


@pytest.mark.parametrize("route", ["raced", "judged", "merged", "copied", "capped"])
def test_nothing_costs_more_than_the_worst(plan: Plan, route: str) -> None:
    driven = asked(plan, route, {"judge": [VERDICT], "little": [Play(after_ms=5_000)]})
    spent = driven.record.cost + sum(copy.cost for copy in driven.copies)
    assert driven.worst_cost is not None
    assert 0 < spent <= driven.worst_cost


def test_what_counts_in_the_worst_case(plan: Plan) -> None:
    """Both of a race; of a copy as many calls as of the request, apart from these."""
    raced, copied, capped = (asked(plan, route).worst_cost for route in ("raced", "copied", "capped"))
    assert raced == copied
    assert capped is not None
    assert raced is not None
    dearest = asked(plan, "raced", {"little": [Play(failure="server")]}).record.attempts[1].reserved
    assert capped == 2 * dearest


def test_a_judge_reads_the_answers(plan: Plan) -> None:
    """The more it may read, the more it may cost: the output of those it judges is its input."""
    little, much = (asked(plan, "judged", max_tokens=most).worst_cost for most in (10, 1_000))
    assert little is not None
    assert much is not None
    # Two answers of 990 more tokens, read again at $2 a million, beside what these cost themselves.
    assert much - little > 990 * (2_000 + 6_000) + 2 * 990 * 2_000


def test_whichever_label_it_is(plan: Plan) -> None:
    """What stands below a label counts as below the dearest."""
    labelled, raced = asked(plan, "labelled").worst_cost, asked(plan, "raced").worst_cost
    big = asked(plan, "raced", {"little": [Play(failure="server")]}).record.attempts[1].reserved
    assert labelled is not None
    assert raced is not None
    assert big < raced
    # Two of `big` at the most, and the judge beside them.
    assert labelled > 2 * big
