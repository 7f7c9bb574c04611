"""What a request may not buy where money is counted, as `engine explain` shows it: over shipped formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.explain.driver import Driven, Play, ScriptedUpstream, drive, scripted_snapshot
from engine.plan.plan import Plan
from engine.runtime.clock import VirtualClock
from engine.wire.canonical import Usage

VENDOR = """
dialect: {dialect}
residency: us
base_url: http://127.0.0.1:9
auth: none
models:
  m: {{context: 10k, output: 1k, input_price: $1/M, output_price: $1/M, can: [tools]}}
{tools}"""
ROUTES = """
deployments:
  talk: {provider: messages, model: m}
  respond: {provider: responses, model: m}
routes:
  talk: {start: talk, budgets: [day]}
  respond: {start: respond, budgets: [day]}
  loose: {start: talk}
budgets: {day: {limit: $100, window: every 24h}}
"""
USAGE = {"input_tokens": 10, "output_tokens": 10}
#: Reading 10k tokens, and a use of the search.
READING, USE = 10_000_000, 10_000_000
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root: Path = tmp_path_factory.mktemp("ws")
    tools = "tools: {web_search: $0.01, fetch: {use: $0.02, most: 2}}\n"
    files = {
        "routes/r.yaml": ROUTES,
        "providers.d/messages.yaml": VENDOR.format(dialect="anthropic_messages", tools=tools),
        "providers.d/responses.yaml": VENDOR.format(dialect="openai_responses", tools=tools),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    made, diagnostics = compile_workspace(root)
    assert made is not None, "\n".join(map(str, diagnostics))
    return made


def talk(plan: Plan, tools: list[dict[str, Any]], model: str = "talk", **more: Any) -> Driven:
    """By Anthropic's format."""
    usage = more.pop("usage", USAGE)
    said = [{"role": "user", "content": "hi"}]
    body = {"model": model, "max_tokens": 100, "messages": said, "tools": tools}
    return ask(plan, "anthropic_messages", "talk", {**body, **more}, usage)


def ask(plan: Plan, dialect: str, deployment: str, body: dict[str, Any], usage: Any) -> Driven:
    reads = scripted_snapshot(plan, ScriptedUpstream(VirtualClock(0), {}, None), None).dialect(dialect)
    request = reads.read_request("chat", body, {})
    script = {deployment: [Play(usage=cast(Usage, usage))]}
    return drive(plan, request, dialect=dialect, body=body, script=script)


def spent(driven: Driven) -> tuple[int, int]:
    """Reserved and settled."""
    assert driven.error is None, driven.error
    (use,) = driven.record.attempts[0].budgets
    return use.reserved, use.settled or 0


def test_a_request_says_how_often_a_tool_is_used(plan: Plan) -> None:
    held, settled = spent(talk(plan, [{**SEARCH, "max_uses": 3}]))
    assert 3 * (READING + USE) < held < 3 * (READING + USE) + READING
    assert settled == 20_000, "the format tells of searches, and told of none"
    _, settled = spent(
        talk(plan, [{**SEARCH, "max_uses": 3}], usage={**USAGE, "tool_uses": {"web_search": 2}})
    )
    assert settled == 20_000 + 2 * USE


def test_all_tools_together_may_be_bounded(plan: Plan) -> None:
    body: dict[str, Any] = {
        "model": "respond", "input": "hi", "max_output_tokens": 100, "max_tool_calls": 2,
        "tools": [{"type": "web_search"}, {"type": "fetch"}],
    }  # fmt: skip
    held, settled = spent(ask(plan, "openai_responses", "respond", body, USAGE))
    assert 2 * (READING + 2 * USE) < held < 2 * (READING + 2 * USE) + READING
    assert settled == 20_000 + 2 * 2 * USE, "of fetching nobody tells: the most counts"
    del body["max_tool_calls"]
    error = ask(plan, "openai_responses", "respond", body, USAGE).error
    assert error is not None
    assert (error.status, error.param) == (400, "tools")
    assert "set `max_tool_calls` in the request" in error.message


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([SEARCH], "set `max_uses` in the tool"),
        ([{"type": "fetch_1", "name": "f", "max_uses": 3}], "`max_uses` of the tool `fetch_1` is 3"),
        ([{"type": "code_execution_20250825", "name": "c"}], "{code_execution: {use: $0.01, most: 5}}"),
    ],
)
def test_what_nobody_bounds_is_refused(plan: Plan, tools: list[dict[str, Any]], told: str) -> None:
    driven = talk(plan, tools)
    assert driven.error is not None
    assert (driven.error.status, driven.error.code, driven.error.param) == (400, "not_admitted", "tools")
    assert told in driven.error.message
    assert talk(plan, tools, model="loose").error is None, "where nothing is counted, it may run"


def test_a_dearer_tier_is_refused(plan: Plan) -> None:
    driven = talk(plan, [], speed="fast")
    assert driven.error is not None
    assert (driven.error.status, driven.error.param) == (400, "speed")
    assert talk(plan, [], model="loose", speed="fast").error is None
