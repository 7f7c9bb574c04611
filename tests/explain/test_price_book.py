"""What `engine plan` shows of prices, and the digest under which a plan holds them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from engine.compiler.pipeline import compile_workspace
from engine.explain import plan_view
from engine.plan.plan import Plan
from engine.plan.price_book import book_digest

PROVIDER = """
dialect: openai_chat
auth: none
regions:
  us: {base_url: http://127.0.0.1:9/v1, residency: us}
  eu: {base_url: http://127.0.0.1:8/v1, residency: eu, price: +10%}
default_region: us
models:
  known: {output: 1k, input_price: $1/M, output_price: $4/M, request_price: $0.001, source: price list of May}
  bare: {}
"""
DEPLOYMENTS = {
    "near": "{provider: acme, model: known, region: eu}",
    "own": "{provider: acme, model: known, region: us, price: {input: $0.5/M}}",
    "server": "{provider: acme, model: bare, region: us, price: {second: $0.0002}}",
    "gratis": "{provider: acme, model: bare, region: us, price: free}",
    "dark": "{provider: acme, model: bare, region: us, price: unknown}",
    "bare": "{provider: acme, model: bare, region: us}",
    "night": "{provider: deepseek, model: deepseek-flash}",
}


def compiled(root: Path, **changes: str) -> Plan:
    deployments = {**DEPLOYMENTS, **changes}
    routes = ["deployments:", *(f"  {name}: {text}" for name, text in deployments.items()), "routes:"]
    routes.append(
        f"  r: {{admit: {{input: 1k, output: 1k}}, start: {{fallback: [{', '.join(deployments)}]}}}}"
    )
    routes.append("  one: {start: own, admit: {input: 1k}}")
    for path, text in (("providers.d/acme.yaml", PROVIDER), ("routes/r.yaml", "\n".join(routes))):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    plan, diagnostics = compile_workspace(root)
    assert plan is not None, [str(each) for each in diagnostics]
    return plan


def test_the_book_is_shown(tmp_path: Path) -> None:
    plan = compiled(tmp_path)
    shown = plan_view.show(plan)
    head, *rows = shown[shown.index("price book ") :].splitlines()
    assert head == f"price book {plan.manifest.prices[:12]}"
    told = {line.strip().partition(": ")[0]: line.strip().partition(": ")[2] for line in rows}
    assert told["near"] == ("input $1.1/M, output $4.4/M, $0.0011 a call  (price list of May, +10% in eu)")
    assert told["own"] == (
        "input $0.5/M, output $4/M, $0.001 a call  (this workspace, over price list of May)"
    )
    assert told["server"] == "$0.0002 a second  (this workspace)"
    assert told["gratis"] == "free  (this workspace)"
    assert told["dark"] == "unknown, and nothing is reserved for its calls"
    assert told["bare"] == "unknown"
    assert any(line.strip().startswith("mon tue wed thu fri 01:00 to 04:00 UTC") for line in rows)
    assert "worst case: 2 calls, 20m 0.2s, $0.011" in shown  # of `one`; nobody knows it of `r`
    only = plan_view.show(plan, ("one",))
    assert "  own: " in only
    assert "  near: " not in only


def test_the_digest_is_of_the_prices(tmp_path: Path) -> None:
    plan = compiled(tmp_path)
    again = compiled(tmp_path, own=DEPLOYMENTS["own"][:-1] + ", concurrent: 3}")
    assert again.revision != plan.revision
    assert again.manifest.prices == plan.manifest.prices
    for change in ({"own": DEPLOYMENTS["own"].replace("$0.5", "$0.6")}, {"bare": DEPLOYMENTS["dark"]}):
        assert compiled(tmp_path, **change).manifest.prices != plan.manifest.prices
    deployments = {name: plan.deployment(name) for name in plan.manifest.deployments}
    assert book_digest(deployments) == plan.manifest.prices
    one = deployments["own"]
    raised = (dataclasses.replace(one.facts.prices[0], second=1),)
    facts = dataclasses.replace(one.facts, prices=raised)
    assert book_digest({**deployments, "own": dataclasses.replace(one, facts=facts)}) != plan.manifest.prices
