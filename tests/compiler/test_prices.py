"""`price:` on a deployment: what the plan says that its calls cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.plan.types import Deployment

PROVIDER = (
    "dialect: openai_chat\nauth: none\nregions:\n"
    "  us: {base_url: 'http://127.0.0.1:9/v1', residency: us}\n"
    "  eu: {base_url: 'http://127.0.0.1:8/v1', residency: eu, price: +10%}\ndefault_region: us\n"
    "models:\n  known: {output: 1k, input_price: $1/M, output_price: $4/M, cached_price: $0.10/M}\n"
    "  bare: {output: 1k}\n"
)
ROUTES = "deployments:\n  a: {{provider: acme, model: {model}, region: {region}{more}}}\nroutes:\n  r: a\n"


def deployment(
    root: Path, price: str | None, model: str = "known", region: str = "us"
) -> tuple[Deployment | None, list[str]]:
    for path, text in (
        ("providers.d/acme.yaml", PROVIDER),
        (
            "routes/r.yaml",
            ROUTES.format(model=model, region=region, more="" if price is None else f", price: {price}"),
        ),
    ):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    plan, diagnostics = compile_workspace(root)
    return (None if plan is None else plan.deployment("a")), [d.code for d in diagnostics]


@pytest.mark.parametrize(
    ("price", "model", "region", "told"),
    [
        (None, "known", "us", [(1000, 4000, 100, 0, 0)]),
        (None, "known", "eu", [(1100, 4400, 110, 0, 0)]),
        ("{input: $2/M}", "known", "us", [(2000, 4000, 100, 0, 0)]),
        ("{input: $2/M}", "known", "eu", [(2000, 4400, 110, 0, 0)]),  # what is stated is the last word
        ("{cached: $0.5/M, request: $0.01}", "known", "us", [(1000, 4000, 500, 10**7, 0)]),
        ("{second: $0.0001}", "known", "us", [(0, 0, None, 0, 100_000)]),
        ("{second: $0.0001}", "bare", "us", [(0, 0, None, 0, 100_000)]),
        ("{second: $0.0001, output: $1/M}", "bare", "us", [(0, 1000, None, 0, 100_000)]),
        ("free", "known", "us", [(0, 0, 0, 0, 0)]),
        ("unknown", "known", "us", []),
        (None, "bare", "us", []),
        ("{input: $1/M}", "bare", "us", [(1000, None, None, 0, 0)]),
    ],
)
def test_what_a_deployment_costs(
    price: str | None, model: str, region: str, told: list[tuple[int | None, ...]], tmp_path: Path
) -> None:
    """In nano-dollars per thousand tokens, per call and per second."""
    made, codes = deployment(tmp_path, price, model, region)
    assert made is not None, codes

    def per_thousand(value: int | None) -> int | None:
        return None if value is None else value // 10**6

    assert [
        (per_thousand(row.input), per_thousand(row.output), per_thousand(row.cached), row.request, row.second)
        for row in made.facts.prices
    ] == told
    assert made.uncounted == (price == "unknown")
    own = [(row.source or "").startswith("this workspace") for row in made.facts.prices]
    assert own == [price is not None] * len(told)


def test_a_local_model_costs_nothing_or_its_time(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    text = "deployments:\n  a: {provider: onnx, model: smollm2-135m-instruct%s}\nroutes:\n  r: a\n"
    for more, second in (("", 0), (", price: {second: $0.002}", 2_000_000)):
        (tmp_path / "routes" / "r.yaml").write_text(text % more)
        plan, _ = compile_workspace(tmp_path)
        assert plan is not None
        (row,) = plan.deployment("a").facts.prices
        assert (row.input, row.output, row.request, row.second) == (0, 0, 0, second)


@pytest.mark.parametrize(
    ("price", "code"),
    [("{}", "E107"), ("cheap", "E102"), ("3", "E102"), ("{second: 3}", "E103"), ("{inputs: $1/M}", "E101")],
)
def test_a_price_that_is_none(price: str, code: str, tmp_path: Path) -> None:
    made, codes = deployment(tmp_path, price)
    assert made is None
    assert code in codes
