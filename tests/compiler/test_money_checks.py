"""What counts in money must have a price: on routes, and for whoever may ask them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace

PROVIDER = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9/v1
models:
  known: {context: 64k, output: 1k, input_price: $10/M, output_price: $40/M}
  bare: {context: 64k, output: 1k}
  endless: {input_price: $1/M, output_price: $1/M}
"""
HEAD = """
deployments:
  known: {provider: acme, model: known}
  bare: {provider: acme, model: bare}
  endless: {provider: acme, model: endless}
  here: {provider: onnx, model: smollm2-135m-instruct}
budgets:
  day: {limit: $5, window: every 24h}
  tokens: {limit: 5M tokens, window: every 24h}
keys: {tags: {kind: [ci, dev]}}
"""
ADMIT = "admit: {input: 10k}"
MORE = "{limit: $5, window: every 24h, steps: [{at: 100%, use: bare}]}"
CI = "groups:\n  ci: {when: 'key.tags.kind == \"ci\"',"


@pytest.mark.parametrize(
    ("text", "policies", "told"),
    [
        ("routes:\n  r: {start: bare}", "", []),
        ("routes:\n  r: {start: bare, budgets: [tokens]}", "", []),
        ("routes:\n  r: {start: here, budgets: [day]}", "", []),
        ("routes:\n  r: {start: bare, budgets: [day]}", "", ["E280"]),
        ("routes:\n  r: {start: endless, budgets: [day]}", "", ["E281"]),
        # A judge's answer has a bound of its own; its price has to be known.
        (
            "routes:\n  r: {start: {ensemble: [here, here], merge: best_of, judge: endless}, budgets: [day]}",
            "",
            [],
        ),
        (
            "routes:\n  r: {start: {ensemble: [here, here], merge: best_of, judge: bare}, budgets: [day]}",
            "",
            ["E280"],
        ),
        ("routes:\n  r: {start: {mirror: here, to: bare, share: 1%}, budgets: [day]}", "", ["E280"]),
        # Where a budget's step leads counts, too.
        (
            "routes:\n  r: {start: here, budgets: [month]}\nmore: " + MORE,
            "",
            ["E280"],
        ),
        # Who may ask for a route brings its budgets along.
        (f"routes:\n  r: {{start: bare}}\n{CI} budgets: [day]}}", "", ["E280"]),
        (
            f"routes:\n  r: {{start: bare}}\n  s: {{start: known}}\n{CI} models: ['s*'], budgets: [day]}}",
            "",
            [],
        ),
        ("routes:\n  r: {start: bare}", "require:\n  all: {budgets: [floor]}", ["E280"]),
        # 2 x (10k read + 1k written): $0.28.
        (
            f"routes:\n  r: {{start: known, {ADMIT}}}",
            "require:\n  all: {per_request: {cost: $0.28}}",
            ["E284"],  # by a price that anybody may edit
        ),
        (
            "routes:\n  r: {start: here}",
            "require:\n  all: {per_request: {cost: $0.28}}",
            [],
        ),
    ],
)  # fmt: skip
def test_errors(text: str, policies: str, told: list[str], tmp_path: Path) -> None:
    assert errors(tmp_path, text, policies) == told


@pytest.mark.parametrize(
    ("floor", "told"),
    [
        ("per_request: {cost: $0.28}", []),
        ("per_request: {cost: $0.27}", ["E283"]),
        ("admit: {input: 1k}, per_request: {cost: $0.10}", []),  # proven for what the floor lets in
        ("admit: {input: 1k}, per_request: {cost: $0.09}", ["E283"]),
        ("per_request: {cost: $0.14, calls: 1}", []),
    ],
)
@pytest.mark.parametrize("when", ["", "when: 'key.tags.kind == \"ci\"', "])
def test_a_floors_ceiling(floor: str, told: list[str], when: str, tmp_path: Path) -> None:
    own = f"require:\n  some: {{{when}{floor}}}\n"
    priced = "deployments:\n  dear: {provider: acme, model: bare, price: {input: $10/M, output: $40/M}}\n"
    keys = "keys: {tags: {kind: {values: [ci, dev], required: true}}}\n"
    admit = "" if "admit" in floor else f", {ADMIT}"
    routes = f"routes:\n  r: {{start: dear{admit}}}"
    assert errors(tmp_path, routes, own + priced + keys, head="") == told


def errors(root: Path, text: str, policies: str, head: str = HEAD) -> list[str]:
    if "more: " in text:
        text, _, more = text.partition("more: ")
        head = head.replace("budgets:\n", f"budgets:\n  month: {more}\n")
    if "[floor]" in policies:
        policies += "\nbudgets:\n  floor: {limit: $5, window: every 24h}"
    for path, content in (
        ("providers.d/acme.yaml", PROVIDER),
        ("routes/r.yaml", head + text + "\n"),
        ("policies/p.yaml", policies + "\n"),
    ):
        if content.strip():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(content)
    _, diagnostics = compile_workspace(root)
    return [each.code for each in diagnostics if each.severity == "error"]
