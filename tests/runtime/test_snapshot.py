"""Snapshots: pins, drains, what is shared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.kinds.use import Use
from engine.plan.types import Call, Ref
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot

Kit = Any


class Closes:
    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


def snapshot(kit: Kit, upstream: Any, start: Any = None, **more: Any) -> Snapshot:
    made = kit.plan(
        kit.route(start or kit.use("a")), deployments=(kit.deployment("a"), kit.deployment("b")), **more
    )
    return Snapshot(made, {"fake": Shared(upstream).hold()})


async def test_drain_waits_for_the_last_request(kit: Kit) -> None:
    upstream = Closes()
    s = snapshot(kit, upstream)
    s.pin()
    s.pin()
    drained = asyncio.create_task(s.drain())
    s.unpin()
    await asyncio.sleep(0)
    assert not drained.done()
    assert upstream.closed == 0
    s.unpin()
    await drained
    assert upstream.closed == 1
    await s.close()
    assert upstream.closed == 1


async def test_what_two_snapshots_share_is_closed_once(kit: Kit) -> None:
    upstream = Closes()
    old = snapshot(kit, upstream)
    new = Snapshot(old.plan, {"fake": old.upstreams["fake"].hold()}, transport=Shared(upstream).hold())
    await old.drain()
    assert upstream.closed == 0
    await new.drain()
    assert upstream.closed == 2  # as the upstream, and as the transport


async def test_unpinned_once_too_often(kit: Kit) -> None:
    with pytest.raises(AssertionError):
        snapshot(kit, Closes()).unpin()


async def test_a_named_node_is_linked_with_the_options_around_it(kit: Kit) -> None:
    shared = kit.fallback(kit.use("a"), kit.use("b", total_ms=7), total_ms=5)
    s = snapshot(kit, Closes(), Ref("r", Call(idle_ms=3), "shared"), nodes={"shared": shared})
    bound = s.route("r")
    assert s.route("r") is bound
    first, second = bound.route.start.children  # type: ignore[attr-defined]
    assert isinstance(first, Use)
    assert (first.call.total_ms, first.call.idle_ms) == (5, 3)
    assert (second.call.total_ms, second.call.idle_ms) == (7, 3)
    assert set(bound.places) == {"a", "b"}


async def test_expressions_are_bound_with_their_route(kit: Kit) -> None:
    start = kit.switch(kit.more_tokens_than(10), kit.use("a"), kit.use("b"))
    s = snapshot(kit, Closes(), start)
    bound = s.route("r")
    (arm,) = bound.route.start.arms  # type: ignore[attr-defined]
    assert set(bound.tests) == {id(arm.when)}
