"""`per_request.cost` is proven: the most that a request may cost, worked out over graphs of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace
from engine.compiler.worst_cost import Unbounded, WorstCost
from engine.explain.driver import drive
from engine.explain.plan_view import linked
from engine.plan.plan import Plan
from engine.wire.canonical import Request

PROVIDER = """
dialect: openai_chat
auth: none
base_url: http://127.0.0.1:9/v1
operations: [chat, embeddings, rerank]
models:
  dear: {context: 64k, output: 1k, input_price: $10/M, output_price: $40/M, can: [stream]}
  cheap: {context: 64k, output: 1k, input_price: $1/M, output_price: $4/M, can: [stream]}
  able: {context: 64k, output: 1k, input_price: $1/M, output_price: $4/M, can: [stream, prefill]}
  ranker: {request_price: $0.002, input_price: $0/M, output_price: $0/M}
  vectors: {input_price: $1/M}
  bare: {}
"""
DEPLOYMENTS = """
deployments:
  dear: {provider: acme, model: dear}
  cheap: {provider: acme, model: cheap}
  able: {provider: acme, model: able}
  ranker: {provider: acme, model: ranker}
  vectors: {provider: acme, model: vectors}
  timed: {provider: acme, model: bare, price: {second: $0.001}}
  uncounted: {provider: acme, model: bare, price: unknown}
  gratis: {provider: acme, model: bare, price: free}
routes:
"""
ADMIT = "admit: {input: 10k, output: 1k}"
DEAR = 140  # thousandths of a dollar: 10k read and 1k written
CHEAP = 14


def compiled(root: Path, routes: list[str]) -> tuple[Plan | None, list[str]]:
    for path, text in (
        ("providers.d/acme.yaml", PROVIDER),
        ("routes/r.yaml", DEPLOYMENTS + "".join(f"  r{n}: {{{route}}}\n" for n, route in enumerate(routes))),
    ):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    plan, diagnostics = compile_workspace(root)
    return plan, [str(each) for each in diagnostics if each.severity == "error"]


def worst(plan: Plan, route: str = "r0") -> list[float]:
    """Of the request, and of each copy, in thousandths of a dollar."""
    deployments = {name: plan.deployment(name) for name in plan.manifest.deployments}
    paths = WorstCost(linked(plan, route), deployments).paths()
    return [sum(call.cost for call in calls) / 1e6 for calls in paths]


CASES: list[tuple[str, list[float]]] = [
        ("start: dear", [2 * DEAR]),  # once more, by default
        ("start: {use: dear, retry: {extra: 0}}", [DEAR]),
        ("per_request: {calls: 1}, start: {fallback: [cheap, dear]}", [DEAR]),
        ("per_request: {calls: 3}, start: {fallback: [cheap, dear]}", [2 * DEAR + CHEAP]),
        ("start: {fallback: [cheap, dear]}", [2 * DEAR + 2 * CHEAP]),
        ("start: {hedge: [cheap, dear], after: 1s}", [2 * DEAR + 2 * CHEAP]),
        ("start: {balance: [cheap, dear, able], tries: 1}", [2 * DEAR]),
        ("start: {balance: [cheap, dear, able], tries: 2}", [2 * DEAR + 2 * CHEAP]),
        ("start: {split: [{use: cheap, share: 10%}, {use: dear, share: 90%}]}", [2 * DEAR]),
        ("start: {switch: [{when: request.stream, use: cheap}], else: dear}", [2 * DEAR]),
        # No input beyond 1k comes to where it is dear.
        ("start: {switch: [{when: request.input_tokens <= 1k, use: dear}], else: cheap}", [2 * (10 + 40)]),
        ("start: {switch: [{when: request.input_tokens > 1k, use: cheap}], else: dear}", [2 * (10 + 40)]),
        ("start: {mirror: cheap, to: dear, share: 10%}", [2 * CHEAP, 2 * DEAR]),
        # A judge reads the request twice over, its question and both answers, and writes 1k at most.
        ("start: {cascade: [cheap, able], escalate: [{judge_below: 0.5, judge: cheap}], on_last: fail}",
         [4 * CHEAP + 2 * 2 * (20 + 1 + 4 + 4)]),
        ("start: {ensemble: [cheap, able], merge: best_of, judge: cheap}",
         [4 * CHEAP + 2 * (20 + 1 + 4 + 4)]),
        ("start: {classify: dear, as: a, via: model, labels: {x: x, y: else}, judge: cheap}",
         [2 * DEAR + 2 * (20 + 1 + 4)]),
        ("start: {cache: dear, semantic: {above: 0.9, ttl: 1h, embed: vectors}}", [2 * DEAR + 2 * 20]),
        # Who goes on with a broken stream reads what was said by then, too.
        ("stream: {on_cut: continue}, start: able", [2 * (CHEAP + 1.064)]),
        ("stream: {on_cut: continue}, start: cheap", [2 * CHEAP]),
        ("start: {use: timed, timeout: {total: 30s}, retry: {extra: 0}}", [30]),
        ("per_request: {time: 10s}, start: {use: timed, retry: {extra: 0}}", [10]),
        ("start: {fallback: [uncounted, gratis]}", [0]),
        ("match: {operations: [embeddings]}, start: {use: dear, retry: {extra: 0}}", [100]),
        ("match: {operations: [rerank]}, start: {use: ranker, retry: {extra: 0}}", [13 * 2]),
]  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """All cases as routes of one workspace."""
    made, errors = compiled(tmp_path_factory.mktemp("ws"), [f"{ADMIT}, {route}" for route, _ in CASES])
    assert made is not None, errors
    return made


@pytest.mark.parametrize("number", range(len(CASES)), ids=[route for route, _ in CASES])
def test_what_a_request_may_cost(number: int, plan: Plan) -> None:
    route, told = CASES[number]
    assert worst(plan, f"r{number}") == pytest.approx(told)
    if "operations" not in route:
        text = Request(messages=[{"role": "user", "content": [{"type": "text", "text": "x " * 450}]}])
        asked = drive(plan, text, route=f"r{number}", wall=1_764_000_000.0)
        assert asked.worst_cost is not None
        assert asked.record.cost <= asked.worst_cost <= sum(told) * 1e6


def test_several_answers(tmp_path: Path) -> None:
    plan, errors = compiled(
        tmp_path, ["admit: {input: 10k, output: 1k, n: 3}, start: {use: cheap, retry: {extra: 0}}"]
    )
    assert plan is not None, errors
    assert worst(plan) == [10 + 3 * 4]


@pytest.mark.parametrize(
    ("admit", "start", "what"),
    [
        ("", "cheap", "input"),
        ("admit: {output: 1k}, ", "cheap", "input"),
        ("admit: {input: 1k}, ", "{use: cheap}", None),  # the model's own limit of output holds
        ("", "{fallback: [gratis, uncounted]}", None),
        ("", "timed", None),
        ("admit: {input: 1k}, ", "vectors", "price"),
    ],
)
def test_what_bounds_nothing(admit: str, start: str, what: str | None, tmp_path: Path) -> None:
    plan, errors = compiled(tmp_path, [f"{admit}start: {start}"])
    assert plan is not None, errors
    if what is None:
        worst(plan)
        return
    with pytest.raises(Unbounded) as raised:
        worst(plan)
    assert raised.value.what == what


@pytest.mark.parametrize(
    ("route", "place", "told"),
    [
        (f"{ADMIT}, per_request: {{cost: $0.28}}, start: dear", "", ""),
        (
            f"{ADMIT}, per_request: {{cost: $0.27}}, start: {{fallback: [cheap, dear]}}",
            "12:61",
            (
                "error[E283]: a request to `r0` may cost $0.308, and `per_request.cost` allows $0.27: "
                "2 x dear at $0.14, 2 x cheap at $0.014"
            ),
        ),
        (
            f"{ADMIT}, per_request: {{cost: $0.05}}, start: {{mirror: cheap, to: dear, share: 1%}}",
            "12:61",
            (
                "error[E283]: a mirrored copy of a request to `r0` may cost $0.28, and `per_request.cost` "
                "allows $0.05: 2 x dear at $0.14"
            ),
        ),
        (
            "per_request: {cost: $1}, start: {fallback: [ranker, vectors]}",
            "7:3",
            (
                "error[E280]: nobody knows all prices of `vectors`, and the route `r0`, which leads to it, "
                "counts in `per_request.cost`"
            ),
        ),
        (
            "per_request: {cost: $1}, start: dear",
            "12:3",
            (
                "error[E282]: nothing bounds the input of the route `r0`, and so nobody can prove "
                "`per_request.cost`: `dear` costs more the more it reads"
            ),
        ),
    ],
)
def test_what_is_told(route: str, place: str, told: str, tmp_path: Path) -> None:
    _, errors = compiled(tmp_path, [route])
    assert errors == ([f"routes/r.yaml:{place}: {told}"] if told else [])
