"""Splits and balances through the executor: what is measured, kept and recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.kinds.balance import Balance, Sticky
from engine.kinds.rank import Score
from engine.kinds.split import Layout, Split, SplitArm
from engine.plan.types import Call
from engine.plan.values import Expr
from engine.plan.vendors import Facts
from engine.policies.shares import change, lay_out, points_of
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot
from engine.runtime.views import Key
from engine.upstream.headroom import HeadroomSeen

KEY_ID = Expr(source="key.id", scope="route", type="string", ir=["a", ["p", 1], "id"])
COST = Expr(source="deployment.cost", scope="deployment", type="number", ir=["f", ["p", 4], "cost"])


def spread(kit: Any, names: str, rank: str, **options: Any) -> Balance:
    children = tuple(kit.use(name) for name in names)
    return Balance("r/balance", Call(), children, (1.0,) * len(names), rank, **options)


def split(kit: Any, *steps: tuple[int, tuple[float | None, float | None]]) -> Split:
    (since, shares), *later = steps
    layouts = [Layout(since, points_of(shares), lay_out(points_of(shares)))]
    for moment, shares in later:
        points = points_of(shares)
        layouts.append(Layout(moment, points, change(layouts[-1].stretches, points)))
    arms = (SplitArm("old", kit.use("old")), SplitArm("new", kit.use("new")))
    return Split("r/split", Call(), arms, tuple(layouts), KEY_ID)


def by(bench: Any, user: str) -> Any:
    inbound = bench.inbound()
    inbound.key = Key(id=user)
    return inbound


async def test_a_split_stands_in_the_record(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(split(kit, (0, (None, 0.5))), {"old": [kit.Say()], "new": [kit.Say()]})
    served = {}
    for user in range(12):
        await one.run(by(one, f"u{user}"))
        assert one.record.variant == one.record.served_by
        assert one.record.path[0].what == "variant"
        served[user] = one.record.served_by
    assert set(served.values()) == {"old", "new"}


async def test_a_ramp_goes_by_the_clock(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(split(kit, (0, (1.0, None)), (1, (0.0, 1.0))), {"old": [kit.Say()], "new": [kit.Say()]})
    start = one.clock.wall()
    one = bench(
        split(kit, (0, (1.0, None)), (int(start) + 60, (0.0, 1.0))), {"old": [kit.Say()], "new": [kit.Say()]}
    )
    await one.run(by(one, "u"))
    before = one.record.variant
    await one.clock.sleep(61_000)
    await one.run(by(one, "u"))
    assert (before, one.record.variant) == ("old", "new")


async def test_sticky_outlives_a_reload(kit: Any, bench: Callable[..., Any]) -> None:
    node = spread(kit, "abc", "weight", sticky=Sticky(KEY_ID, 60_000))
    one = bench(node, {name: [kit.Say()] for name in "abc"})
    await one.run(by(one, "u"))
    home = one.record.served_by
    one.snapshot = Snapshot(one.plan, {"fake": Shared(one.upstream).hold()})
    for _ in range(6):
        await one.run(by(one, "u"))
        assert one.record.served_by == home
    await one.clock.sleep(60_000)
    served = set()
    for user in range(20):
        await one.run(by(one, f"v{user}"))
        served.add(one.record.served_by)
    assert len(served) > 1


async def test_quality_is_a_fact(kit: Any, bench: Callable[..., Any]) -> None:
    deployments = tuple(
        kit.deployment(name, facts=Facts(quality=quality))
        for name, quality in (("a", 0.2), ("b", None), ("c", 0.9))
    )
    one = bench(spread(kit, "abc", "quality"), {name: [kit.Say()] for name in "abc"}, deployments=deployments)
    await one.run()
    assert one.record.served_by == "c"


async def test_headroom_is_what_vendors_said(kit: Any, bench: Callable[..., Any]) -> None:
    one = bench(spread(kit, "ab", "headroom"), {name: [kit.Say()] for name in "ab"})
    said = {"a": 0.4, "b": 0.6}

    class Seen(HeadroomSeen):
        def share(self, deployment: str) -> float:
            return said[deployment]

    one.upstream.headroom = Seen({})
    await one.run()
    first = one.record.served_by
    said["b"] = 0.1
    await one.run()
    assert (first, one.record.served_by) == ("b", "a")


@pytest.mark.parametrize("score", [Score(cost=1.0), Score(by=COST, reads=("cost",))])
async def test_a_score_measures_what_it_needs(kit: Any, bench: Callable[..., Any], score: Score) -> None:
    cheap = kit.deployment("b", facts=Facts(output=10, prices=kit.deployment("b").facts.prices))
    made = (kit.deployment("a"), cheap)
    one = bench(spread(kit, "ab", "score", score=score), {n: [kit.Say()] for n in "ab"}, deployments=made)
    await one.run()
    assert one.record.served_by == ("a" if score.by is not None else "b")
