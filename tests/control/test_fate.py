"""What becomes of state when a plan replaces another: by the place behind a name, not by the name."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import PROVIDER

from engine.compiler.pipeline import compile_workspace
from engine.control.host import Host
from engine.observe.metrics import Metrics
from engine.plan.fate import fate
from engine.plan.plan import Plan
from engine.state.protocol import Hold

START = "a: {provider: one, model: m-1}, b: {provider: two, model: m-1}"


def plan(root: Path, deployments: str, start: str, *, port: int = 9, name: str = "r") -> Plan:
    for folder in ("routes", "providers.d"):
        (root / folder).mkdir(exist_ok=True)
    (root / "providers.d" / "one.yaml").write_text(PROVIDER.format(port=port))
    (root / "providers.d" / "two.yaml").write_text(PROVIDER.format(port=7))
    text = f"deployments: {{{deployments}}}\nroutes: {{{name}: {{start: {{fallback: [{start}]}}}}}}\n"
    (root / "routes" / "r.yaml").write_text(text)
    made, diagnostics = compile_workspace(root)
    assert made is not None, diagnostics
    return made


@pytest.mark.parametrize(
    ("deployments", "start", "port", "told"),
    [
        (START, "a, b", 9, "2 survive"),
        (START.replace("m-1}", "m-1, concurrent: 3}", 1), "a, b", 9, "2 survive"),
        (START.replace("one", "two"), "a, b", 9, "1 survive; a resets"),
        (START, "a, b", 10, "1 survive; a resets"),  # the provider has another address
        (START.replace("a:", "c:"), "c, b", 9, "1 survive; a moves to c"),
        (START, "b", 9, "1 survive; a ends"),
        (START + ", c: {provider: two, model: m-1, concurrent: 1}", "a, b, c", 9, "2 survive; c begins"),
        (
            "c: {provider: one, model: m-1}, d: {provider: one, model: m-1, concurrent: 1}",
            "c, d",
            9,
            "0 survive; c, d begin; a, b end",  # which of them was `a` nobody can tell
        ),
    ],
)
def test_what_becomes_of_it(deployments: str, start: str, port: int, told: str, tmp_path: Path) -> None:
    old = plan(tmp_path, START, "a, b")
    found = fate(old, plan(tmp_path, deployments, start, port=port))
    assert str(found.deployments) == told
    assert found.routes.as_json() == {"survive": 1}


def test_routes_and_how_it_is_told(tmp_path: Path) -> None:
    old = plan(tmp_path, START, "a, b")
    found = fate(old, plan(tmp_path, START.replace("a:", "c:"), "c, b", name="s"))
    assert found.as_json() == {
        "deployments": {"survive": 1, "moves": ["a -> c"]},
        "routes": {"survive": 0, "begins": ["s"], "ends": ["r"]},
    }
    found.deployments.resets = [f"d{n}" for n in range(5)]
    assert found.deployments.as_json(2)["resets"] == ["d0", "d1", "... and 3 more"]


async def test_state_follows(tmp_path: Path) -> None:
    """What was measured of a place is known under its new name, and not under a name that means another."""
    async with Host.open(tmp_path, Metrics()) as host:
        await (first := await host.provision(plan(tmp_path, START, "a, b"))).close()
        state = host.state
        lease = state.reserve(Hold("q", 1, "a", cost=5, tokens=1), 0)
        for name in ("a", "b"):
            state.observe(name, True, 40.0, 0)
        moved = plan(tmp_path, "c: {provider: one, model: m-1}, b: {provider: one, model: m-1}", "c, b")
        second = await host.provision(moved)
        assert state.latency("a", 0) == 40.0  # not before it serves
        host.live()
        assert state.latency("c", 0) == 40.0
        assert state.latency("b", 0) != 40.0
        assert state.in_flight("c") == 1
        assert lease.lease is not None
        state.release(lease.lease, 0)
        assert state.in_flight("c") == state.in_flight("a") == 0
        await host.provision(plan(tmp_path, START.replace("a:", "c:"), "c, b"))
        host.live()
        assert "a" not in state._seen
        await second.close()
        assert first.plan.revision != second.plan.revision
