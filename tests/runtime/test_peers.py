"""Who stands in for whom, by the shape of a route."""

from __future__ import annotations

from typing import Any

import pytest

from engine.runtime.peers import peers_of
from engine.state.health import Peers

Kit = Any


def told(members: str, others: str) -> Peers:
    return Peers(tuple(members), frozenset(others))


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        pytest.param("a", {}, id="alone"),
        pytest.param(("fallback", "a"), {}, id="a-chain-of-one"),
        pytest.param(("fallback", "a", "b"), {n: told("", "ab") for n in "ab"}, id="a-chain"),
        pytest.param(("balance", "a", "b"), {n: told("ab", "ab") for n in "ab"}, id="a-balance"),
        pytest.param(
            ("balance", ("fallback", "a", "b"), "c"),
            {"a": told("ac", "abc"), "b": told("", "abc"), "c": told("ac", "abc")},
            id="a-member-stands-for-its-first-target",
        ),
        pytest.param(
            ("fallback", ("balance", "a", "b"), "c"),
            {"a": told("ab", "abc"), "b": told("ab", "abc"), "c": told("", "abc")},
            id="a-balance-in-a-chain",
        ),
        pytest.param(
            ("fallback", ("switch", "a", "b"), "c"),
            {"a": told("", "abc"), "b": told("", "abc"), "c": told("", "abc")},
            id="a-switch-in-a-chain",
        ),
        pytest.param(("switch", "a", "b"), {}, id="arms-do-not-stand-in"),
        pytest.param(
            ("switch", ("fallback", "a", "b"), "c"), {n: told("", "ab") for n in "ab"}, id="a-chain-in-an-arm"
        ),
        pytest.param(("balance", "a", "a"), {}, id="twice-the-same"),
    ],
)
def test_shapes(kit: Kit, shape: Any, found: dict[str, Peers]) -> None:
    assert peers_of(_node(kit, shape)) == {f"r/{name}": peers for name, peers in found.items()}


def _node(kit: Kit, shape: Any) -> Any:
    if isinstance(shape, str):
        return kit.use(shape)
    kind, *rest = shape
    children = [_node(kit, each) for each in rest]
    if kind == "switch":
        return kit.switch(kit.when_org("x"), *children)
    return (kit.fallback if kind == "fallback" else kit.balance)(*children)
