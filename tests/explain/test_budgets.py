"""Budgets in `engine explain`, `plan` and `graph`: what is reserved, and who serves once they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.explain.driver import Driven, drive
from engine.explain.graph import mermaid
from engine.explain.plan_view import show
from engine.explain.why import prose
from engine.plan.plan import Plan
from engine.runtime.views import Key, Texts

PROVIDER = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9
residency: on_prem
models:
  large: {context: 8k, output: 1k, input_price: $2/M, output_price: $6/M}
  small: {context: 8k, output: 1k, input_price: $1/M, output_price: $2/M}
"""
ROUTES = """
deployments:
  big: {provider: acme, model: large}
  little: {provider: acme, model: small}
  free: {provider: acme, model: small, price: free}
budgets:
  month:
    limit: $5
    window: month
    per: key.org
    steps: [{at: 80%, use: little}, {at: 100%, use: free}]
  tokens: {limit: 2M tokens, window: rolling 24h}
routes:
  r: {budgets: [month, tokens], start: big}
  hard: {budgets: [tokens], start: {switch: [{when: 'budget("month").used > 50%', use: free}], else: big}}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root: Path = tmp_path_factory.mktemp("ws")
    files = {"routes/r.yaml": ROUTES, "providers.d/acme.yaml": PROVIDER, "engine.yaml": "timezone: UTC\n"}
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    found, diagnostics = compile_workspace(root)
    assert found is not None, [str(d) for d in diagnostics]
    return found


def driven(plan: Plan, model: str = "r", **used: float) -> Driven:
    message = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    key = Key("k", "k", "acme", Texts())
    before = {f"budget/{name}": share for name, share in used.items()}
    return drive(plan, {"model": model, "messages": [message]}, key=key, used=before)  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("model", "used", "served"),
    [
        ("r", {}, "big"),
        ("r", {"month": 0.79}, "big"),
        ("r", {"month": 0.8}, "little"),
        ("r", {"month": 1.0}, "free"),
        ("r", {"month": 1.5}, "free"),
        ("r", {"tokens": 0.999}, "big"),
        ("r", {"tokens": 1.0}, None),
        ("hard", {"month": 0.5}, "big"),
        ("hard", {"month": 0.51}, "free"),
    ],
)
def test_where_a_request_goes(plan: Plan, model: str, used: dict[str, float], served: str | None) -> None:
    found = driven(plan, model, **used)
    assert found.record.served_by == served
    assert (found.error is not None and found.error.code == "budget_exceeded") is (served is None)


def test_what_is_told(plan: Plan) -> None:
    text = "\n".join(prose(driven(plan).record))
    assert "budget month (acme): $0.0060" in text
    assert "reserved, $0.00008 used" in text
    assert "tokens reserved, 20 tokens used" in text
    text = "\n".join(prose(driven(plan, month=0.9).record))
    assert "r/jumps: jumps: to little: month is used to 90.0%, beyond 80%" in text


def test_the_plan_and_the_graph_show_them(plan: Plan) -> None:
    text = show(plan)
    assert "counts in: month, tokens" in text
    assert "at 80% of month: use little" in text
    assert "at 80% of month" in mermaid(plan, ["r"])
