"""The scripted driver and the prose of a record, over a compiled workspace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.explain.driver import Driven, Play, drive
from engine.explain.why import prose
from engine.plan.plan import Plan
from engine.runtime.tokens import OVERHEAD
from engine.runtime.views import Key
from engine.state.memory import MemoryState

PROVIDER = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
models:
  large: {context: 128k, output: 1k, input_price: $2/M, output_price: $6/M, can: [tools]}
  small: {context: 8k, output: 1k, input_price: $1/M, output_price: $2/M, can: []}
  able: {context: 128k, output: 1k, input_price: $2/M, output_price: $6/M, can: [stream, prefill]}
"""

ROUTES = """
deployments:
  big: {provider: acme, model: large}
  little: {provider: acme, model: small}
  night: {provider: acme, model: large}
  able: {provider: acme, model: able}
routes:
  assistant:
    admit: {output: 1k, tools: true}
    per_request: {calls: 3, time: 60s}
    start:
      switch:
        - when: 'between("22:00", "06:00")'
          use: night
      else: day
  plain: little
  going_on: {start: able, stream: {on_cut: continue}, retry: {extra: 1}, admit: {output: 1k}}
nodes:
  day:
    fallback:
      - {use: big, timeout: {first_token: 8s, total: 20s}, retry: {extra: 1, backoff: 100ms}}
      - little
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root: Path = tmp_path_factory.mktemp("ws")
    for name, text in (("routes/r.yaml", ROUTES), ("providers.d/acme.yaml", PROVIDER)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    (root / "engine.yaml").write_text("timezone: Europe/Berlin\n")
    made, diagnostics = compile_workspace(root)
    assert made is not None, diagnostics
    return made


NOON = 1_764_586_800.0  # 2025-12-01 12:00 in Berlin


def ask(plan: Plan, *plays: tuple[str, list[Play]], wall: float = NOON, **request: Any) -> Driven:
    body: Any = {
        "model": "assistant",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        **request,
    }
    return drive(plan, body, script=dict(plays), wall=wall)


def calls(driven: Driven) -> list[str]:
    return [each.deployment.name for each in driven.asks]


def test_who_is_not_scripted_answers(plan: Plan) -> None:
    driven = ask(plan)
    assert driven.error is None
    assert driven.reply is not None
    assert (driven.record.served_by, calls(driven), driven.unscripted) == ("big", ["big"], ["big"])


def test_the_clock_is_the_one_given(plan: Plan) -> None:
    assert calls(ask(plan, wall=NOON + 11 * 3_600)) == ["night"]


def test_retries_take_virtual_time_only(plan: Plan) -> None:
    begun = time.perf_counter()
    driven = ask(plan, ("big", [Play("rate_limited", retry_after_ms=5_000), Play()]))
    assert [a.started_ms for a in driven.record.attempts] == [0, 5_000]
    assert time.perf_counter() - begun < 5  # seconds, which is what it says it took


@pytest.mark.parametrize(("stream", "ended"), [(True, 8_000), (False, 20_000)])
def test_silence_is_ended_by_the_plans_limits(plan: Plan, stream: bool, ended: int) -> None:
    driven = ask(plan, ("big", [Play("timeout")]), stream=stream)
    assert calls(driven) == ["big", "little"]
    assert driven.record.attempts[0].ended_ms == ended


@pytest.mark.parametrize(("stream", "ended"), [(True, 30_000), (False, 120_000)])
def test_silence_where_no_limit_is_written(plan: Plan, stream: bool, ended: int) -> None:
    driven = ask(plan, ("night", [Play("timeout")]), stream=stream, wall=NOON + 11 * 3_600)
    assert driven.record.attempts[0].ended_ms == min(ended, 60_000)  # the route's own time
    driven = ask(plan, ("little", [Play("timeout")]), stream=stream, model="plain")
    assert driven.record.attempts[0].ended_ms == ended


def test_full_is_a_lease_that_is_not_given(plan: Plan) -> None:
    driven = ask(plan, ("big", [Play("full")]))
    assert calls(driven) == ["little"]
    assert [s.why for s in driven.record.path if s.what == "skipped"] == ["big has no room: full"]


def test_all_fail(plan: Plan) -> None:
    driven = ask(plan, ("big", [Play("server")]), ("little", [Play("overloaded")]))
    assert calls(driven) == ["big", "big", "little"]
    assert driven.error is not None
    assert driven.error.code == "overloaded"


def test_the_worst_cost_is_what_the_calls_may_cost(plan: Plan) -> None:
    """Three calls at most: twice the dear one with 1k tokens out, once the cheap one, input by its bound."""
    driven = ask(plan)
    tokens = driven.record.input_tokens
    assert tokens is not None
    dear, cheap = tokens * 2_000 + 1_000 * 6_000, tokens * 1_000 + 1_000 * 2_000
    assert driven.worst_cost == 2 * dear + cheap
    assert driven.record.cost <= driven.worst_cost


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_on_reads_what_was_said(plan: Plan, stream: bool) -> None:
    """Two calls; of a stream, each may read 1k tokens that another wrote, in a message of their own."""
    driven = ask(plan, model="going_on", stream=stream)
    tokens = driven.record.input_tokens
    assert tokens is not None
    read = tokens + 1_000 + OVERHEAD["message"] if stream else tokens
    assert driven.worst_cost == 2 * (read * 2_000 + 1_000 * 6_000)


def test_a_target_that_cannot_serve_costs_nothing(plan: Plan) -> None:
    driven = ask(plan, ("big", [Play("server")]), tools=[{"name": "f"}])
    assert calls(driven) == ["big", "big"]
    assert any("little cannot do tools" in step.why for step in driven.record.path)


def test_the_same_seed_gives_the_same_record(plan: Plan) -> None:
    script = ("big", [Play("server"), Play("server")])
    first, second = ask(plan, script), ask(plan, script)
    assert first.record == second.record


def test_a_route_can_be_named(plan: Plan) -> None:
    body: Any = {"model": "whatever", "messages": []}
    driven = drive(plan, body, route="assistant", wall=NOON, key=Key(org="acme"), state=MemoryState())
    assert driven.record.served_by == "big"


def test_no_route(plan: Plan) -> None:
    driven = ask(plan, model="nobody")
    assert driven.error is not None
    assert driven.error.code == "model_not_found"
    assert driven.worst_cost is None
    assert prose(driven.record, driven.error)[0] == "No route takes model 'nobody'."


def test_prose(plan: Plan) -> None:
    driven = ask(plan, ("big", [Play("timeout")]), stream=True)
    text = "\n".join(prose(driven.record, driven.error))
    assert "Route assistant takes model 'assistant'" in text
    assert "takes the branch: else" in text
    assert "timeout after 8000 ms" in text
    assert "8000 ms  little" in text
    assert "Outcome: little answers" in text


def test_prose_of_a_refusal(plan: Plan) -> None:
    driven = ask(plan, max_tokens=9_999)
    text = "\n".join(prose(driven.record, driven.error))
    assert "Nobody was called." in text
    assert "Outcome: HTTP 400, not_admitted" in text
