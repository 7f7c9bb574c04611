"""Budgets in the language: what the plan says of them, where their jumps lead, and what mistakes yield."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler.pipeline import Compiled, compile_folder
from engine.explain.plan_view import linked, view
from engine.kinds.jumps import Jumps
from engine.kinds.outline import walk_tree
from engine.plan.money import Budget, BudgetStep, Window
from engine.plan.plan import Plan

ACME = (
    "dialect: openai_chat\nauth: none\nregions:\n"
    "  us: {base_url: 'http://127.0.0.1:9/v1', residency: us}\n"
    "  eu: {base_url: 'http://127.0.0.1:8/v1', residency: eu}\ndefault_region: us\n"
    "models:\n  big: {context: 128k, output: 8k, can: [tools], input_price: $1/M, output_price: $4/M}\n"
    "  small: {context: 8k, output: 1k, can: [], input_price: $0.10/M, output_price: $0.40/M}\n"
)
DEPLOYMENTS = (
    "deployments:\n  big: {provider: acme, model: big, region: eu}\n"
    "  small: {provider: acme, model: small, region: eu}\n"
    "  far: {provider: acme, model: small, region: us}\n"
)
SETTINGS = "timezone: Europe/Berlin\n"


def compiled(root: Path, routes: str, policies: str = "", settings: str = SETTINGS) -> Compiled:
    files = {
        "providers.d/acme.yaml": ACME,
        "routes/main.yaml": DEPLOYMENTS + routes,
        "engine.yaml": settings,
        "policies/floor.yaml": policies,
    }
    for path, text in files.items():
        if text:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return compile_folder(root)


def plan_of(done: Compiled) -> Plan:
    assert done.plan is not None, [str(d) for d in done.diagnostics]
    return done.plan


BUDGETS: list[tuple[str, dict[str, Any]]] = [
    ("{limit: $500, window: month}", {}),
    ("{limit: 2M tokens, window: day}", {"measure": "tokens", "limit": 2_000_000, "window": Window("day")}),
    ("{limit: $500, window: every 6h}", {"window": Window("every", 21_600_000)}),
    ("{limit: $500, window: rolling 24h}", {"window": Window("rolling", 86_400_000)}),
    (
        "{limit: $500, window: month, steps: [{at: 80%, use: small}, {at: 100%, use: far}]}",
        {"steps": (BudgetStep(0.8, use="small"), BudgetStep(1.0, use="far"))},
    ),
    (
        "{limit: $500, window: month, on_state_loss: local_share}",
        {"on_state_loss": "local_share", "share": 0.05},
    ),
    (
        "{limit: $500, window: month, on_state_loss: local_share, share: 20%, was: old}",
        {"on_state_loss": "local_share", "share": 0.2, "was": "old"},
    ),
]


@pytest.mark.parametrize(("written", "fields"), BUDGETS, ids=[text for text, _ in BUDGETS])
def test_what_the_plan_says(tmp_path: Path, written: str, fields: dict[str, Any]) -> None:
    plan = plan_of(
        compiled(tmp_path, f"budgets:\n  a: {written}\nroutes:\n  r: {{budgets: [a], start: big}}\n")
    )
    usual: dict[str, Any] = {"measure": "cost", "limit": 500 * 10**9, "window": Window("month")}
    assert plan.money().budgets == {"a": Budget(name="a", **{**usual, **fields})}
    assert plan.route("r").budgets == ("a",)
    again = Plan.load(plan.dump())
    assert (again.money(), again.revision) == (plan.money(), plan.revision)


def test_per(tmp_path: Path) -> None:
    done = compiled(
        tmp_path,
        "budgets:\n  team: {limit: $5, window: month, per: key.tags.team, missing: share}\n"
        "  vendor: {limit: $5, window: month, per: deployment.provider}\n"
        "  route: {limit: $5, window: month, per: request.route}\n"
        "routes:\n  r: {budgets: [team, vendor, route], start: big}\n",
    )
    budgets = plan_of(done).money().budgets
    scopes = {name: budget.per.scope for name, budget in budgets.items() if budget.per is not None}
    assert scopes == {"team": "route", "vendor": "budget", "route": "route"}
    assert budgets["team"].missing == "share"


def test_a_workspace_without_any_has_no_segment(tmp_path: Path) -> None:
    assert plan_of(compiled(tmp_path, "routes:\n  r: big\n")).manifest.money == ""


# --- jumps ------------------------------------------------------------------------------------------------


def jumps(plan: Plan, route: str) -> list[tuple[str, str, bool, bool]]:
    node = plan.route(route).start
    if not isinstance(node, Jumps):
        return []
    return [(each.name, each.why, each.before, each.after) for each in node.branches]


def test_a_route_has_the_jumps_that_may_apply_to_it(tmp_path: Path) -> None:
    done = compiled(
        tmp_path,
        "budgets:\n  a: {limit: $5, window: month, steps: [{at: 80%, use: small}, {at: 100%, use: far}]}\n"
        "  b: {limit: $6, window: day, steps: [{at: 50%, use: far}]}\n"
        "  free: {limit: $7, window: day, steps: [{at: 90%, use: cheap}]}\n"
        "nodes:\n  cheap: {fallback: [small, far]}\n"
        "groups:\n  ci: {when: 'key.org == \"x\"', budgets: [b]}\n"
        "routes:\n  r: {budgets: [a], start: big}\n  s: big\n",
    )
    plan = plan_of(done)
    beyond = [
        ("far", "at 50% of b", True, True),  # its last step with a `use`: for the end, too
        ("cheap", "at 90% of free", True, True),  # only keys in the state store can have it
    ]
    assert jumps(plan, "s") == beyond
    assert jumps(plan, "r") == [
        ("small", "at 80% of a", True, False),
        ("far", "at 100% of a, at 50% of b", True, True),
        beyond[1],
    ]
    targets = [getattr(node, "deployment", "") for node in walk_tree(linked(plan, "s").start)]
    assert [name for name in targets if name] == ["big", "far", "small", "far"]


def test_the_worst_case_counts_them(tmp_path: Path) -> None:
    """Instead of the start or after it: never all that are written one after the other."""
    routes = (
        "defaults: {retry: {extra: 0}}\nnodes:\n  three: {fallback: [big, small, far]}\n"
        "budgets:\n  a: {limit: $5, window: month, steps: [{at: 80%, use: three}, {at: 100%, use: small}]}\n"
        "routes:\n  r: {budgets: [a], start: big}\n"
    )
    assert view(plan_of(compiled(tmp_path, routes)), "r").calls == 3 + 1


FAULTS = yaml.safe_load(Path(__file__).with_name("budget_faults.yaml").read_text())


@pytest.mark.parametrize("name", FAULTS)
def test_mistakes(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    done = compiled(tmp_path, fault["routes"])
    above = DEPLOYMENTS.count("\n")
    found = [(d.code, d.span.line - above) for d in done.diagnostics if d.span is not None]
    assert (fault["code"], fault["line"]) in found, [str(d) for d in done.diagnostics]


@pytest.mark.parametrize(
    ("start", "calls", "told"),
    [
        ("big", 1, None),  # the jump is made where `big` was not called
        ("{fallback: [big, big2]}", 2, None),
        ("{fallback: [big, big2]}", 1, "asks 2 targets"),
    ],
)
def test_a_jump_at_the_end_comes_in_the_place_of_a_call(
    tmp_path: Path, start: str, calls: int, told: str | None
) -> None:
    routes = (
        "nodes: {big2: {use: big}}\n"
        "budgets:\n  a: {limit: $5, window: month, steps: [{at: 100%, use: small}]}\n"
        f"routes:\n  r: {{budgets: [a], per_request: {{calls: {calls}}}, start: {start}}}\n"
    )
    found = [d.message for d in compiled(tmp_path, routes).diagnostics if d.code == "W229"]
    assert len(found) == (told is not None)
    assert all(told in message for message in found if told)


def test_a_calendar_needs_a_time_zone(tmp_path: Path) -> None:
    routes = "budgets:\n  a: {limit: $5, window: week}\nroutes:\n  r: {budgets: [a], start: big}\n"
    done = compiled(tmp_path, routes, settings="")
    assert done.plan is None
    (fault,) = [d for d in done.diagnostics if d.code == "E233"]
    assert "counts by the week" in fault.message


def test_a_floor_holds_for_every_route(tmp_path: Path) -> None:
    policies = (
        "require:\n  company: {budgets: [all]}\nbudgets:\n"
        "  all: {limit: 2M tokens, window: month, per: key.org, missing: share}\n"
    )
    plan = plan_of(compiled(tmp_path, "routes:\n  r: big\n  s: small\n", policies))
    assert [plan.route(name).budgets for name in "rs"] == [("all",), ("all",)]
    assert plan.money().always == ("all",)


def test_how_much_is_used_is_read_in_conditions(tmp_path: Path) -> None:
    routes = (
        "budgets:\n  month: {limit: $5, window: rolling 24h}\nnodes:\n"
        "  n: {switch: [{when: 'budget(\"month\").used > 80% and request.stream', use: small}], else: big}\n"
        "routes:\n  r: {budgets: [month], start: n}\n"
    )
    assert compiled(tmp_path, routes, settings="").plan is not None, (
        "no clock is read: no time zone is needed"
    )
