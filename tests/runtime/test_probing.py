"""Probes: small real calls that nobody asked for, and the tasks that make them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.control.prober import Prober
from engine.observe.metrics import Metrics
from engine.plan.types import Breaker, Credential, Probing

Bench = Any
Kit = Any

QUICK = Breaker(open_at=0.5, calls=4, window_ms=30_000, pause_ms=60_000)
PROBED = Probing(every_ms=30_000, timeout_ms=5_000)


@pytest.fixture
def probed(bench: Callable[..., Bench], kit: Kit) -> Callable[..., Bench]:
    def make(*script: Any, **changes: Any) -> Bench:
        fields: dict[str, Any] = {"breaker": QUICK, "probe": PROBED, **changes}
        return bench(kit.use("a"), {"a": list(script)}, deployments=(kit.deployment("a", **fields),))

    return make


async def ask(b: Bench) -> Any:
    return await b.executor.probes.ask(b.snapshot, "a")


async def test_a_probe_is_a_request_of_its_own(probed: Callable[..., Bench], kit: Kit) -> None:
    b = probed(kit.Say(first=20))
    assert (await ask(b)).ok
    record = b.record
    assert (record.probe_of, record.route, record.served_by, record.status) == ("a", None, "a", 200)
    attempt = record.attempts[0]
    assert (attempt.role, attempt.closed, attempt.cost.total > 0) == ("probe", "settled", True)
    asked = b.upstream.asked[0]
    assert (asked.max_tokens, asked.stream, asked.operation) == (1, False, "chat")
    metrics = Metrics()
    metrics.record(record)
    text = metrics.exposition().decode()
    assert 'engine_attempts_total{deployment="a",failure=""} 1.0' in text
    assert "engine_requests_total{" not in text


async def test_a_probe_closes_an_open_breaker(probed: Callable[..., Bench], kit: Kit) -> None:
    b = probed(*[kit.Fail("server")] * 5, kit.Fail("bad_request"))
    for _ in range(4):
        await b.fails()
    assert not (await ask(b)).ok
    assert b.executor.health.told("a", 0)["breaker"] == "open"
    assert not (await ask(b)).ok
    assert b.executor.health.told("a", 0)["breaker"] == "closed", "it answers, if not as wished"


async def test_a_probe_is_limited_in_time(probed: Callable[..., Bench], kit: Kit) -> None:
    b = probed(kit.Say(first=60_000))
    assert (await ask(b)).failure == "timeout"
    assert b.record.duration_ms == 5_000
    assert b.executor.health.told("a", 0)["failed"] == 1


@pytest.mark.parametrize("operation", ["embeddings", "rerank", "count_tokens"])
async def test_what_is_asked(probed: Callable[..., Bench], kit: Kit, operation: str) -> None:
    b = probed(kit.Say())
    place = b.snapshot.bind(b.plan.route("r")).places["a"]
    place.operations = frozenset({operation})
    b.snapshot.bind = lambda route: _with(b, route, place)
    outcome = await ask(b)
    if operation == "count_tokens":
        assert outcome is None
    else:
        assert b.upstream.asked[0].operation == operation
        assert b.upstream.asked[0].request["operation"] == operation


def _with(b: Bench, route: Any, place: Any) -> Any:
    bound = type(b.snapshot).bind(b.snapshot, route)
    bound.places["a"] = place
    return bound


async def test_a_cancelled_probe_leaves_nothing(
    probed: Callable[..., Bench], kit: Kit, until: Callable[..., Any]
) -> None:
    b = probed(kit.Say(first=1_000))
    task = asyncio.create_task(ask(b))
    await until(lambda: bool(b.upstream.asked))
    task.cancel()
    await asyncio.wait([task])
    assert (b.record.failure, b.record.attempts[0].failure) == ("cancelled", "cancelled")


# --- in the background ----------------------------------------------------------------------------------


async def test_what_no_call_went_well_at_is_probed(probed: Callable[..., Bench], kit: Kit) -> None:
    b = probed(kit.Say())
    prober = Prober(b.executor, lambda: 0.5)
    prober.take(b.snapshot)
    await b.clock.sleep(29_000)
    assert b.upstream.asked == []
    await b.clock.sleep(2_000)
    assert len(b.upstream.asked) == 1
    await b.clock.sleep(60_000)
    assert len(b.upstream.asked) == 3, "the probe itself went well so long ago"
    for _ in range(10):
        await b.run()
        await b.clock.sleep(10_000)
    assert sum(record.probe_of is not None for record in b.records) == 3
    await prober.close()
    await b.clock.sleep(120_000)
    assert len(b.upstream.asked) == 13


async def test_a_plan_without_probes_ends_them(probed: Callable[..., Bench], kit: Kit) -> None:
    b, without = probed(kit.Say()), probed(kit.Say(), probe=None)
    prober = Prober(b.executor, lambda: 0.5)
    prober.take(b.snapshot)
    await b.clock.sleep(31_000)
    prober.take(b.snapshot)
    await b.clock.sleep(31_000)
    assert len(b.upstream.asked) == 2, "the same plan again changes nothing"
    prober.take(without.snapshot)
    await b.clock.sleep(120_000)
    assert len(b.upstream.asked) == 2
    await prober.close()


async def test_a_fault_of_one_probe_does_not_end_them(
    probed: Callable[..., Bench], kit: Kit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = probed(kit.Say())
    prober = Prober(b.executor, lambda: 0.5)
    prober.take(b.snapshot)
    with monkeypatch.context() as patched:
        patched.setattr(b.snapshot, "bind", lambda route: 1 / 0)
        await b.clock.sleep(31_000)
    assert "the probe of a failed" in caplog.text
    await b.clock.sleep(31_000)
    assert len(b.upstream.asked) == 1
    await prober.close()


async def test_no_probe_while_no_credential_may_be_shown(probed: Callable[..., Bench], kit: Kit) -> None:
    b = probed(
        kit.Fail("quota_exhausted", retry_after_ms=100_000), credentials=(Credential("k", "fake", {}, {}),)
    )
    await b.fails()
    prober = Prober(b.executor, lambda: 0.5)
    prober.take(b.snapshot)
    await b.clock.sleep(95_000)
    assert len(b.upstream.asked) == 1
    await b.clock.sleep(30_000)
    assert len(b.upstream.asked) == 2
    await prober.close()
