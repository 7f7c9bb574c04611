"""Budgets over a sidecar's own HTTP: 402 in every format, streams, clients that leave, reloads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from clients import STREAMS, WHOLES
from pulse import passed
from running import Running, post, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, begins_only, chat, silence, streams

SETTINGS = "heartbeat: 100ms\ntimezone: Europe/Berlin\n"
#: The vendor's model costs $1 and $10 a million tokens; each of its answers has 12 and 3.
COST = 42_000
ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  free: {provider: fake, model: m-1, price: free, wire_model: m-free}
budgets:
  month: {limit: $0.0215, window: month}
  user: {limit: $0.0215, window: month, per: request.user}
  wide: {limit: $0.2, window: month}
  down: {limit: $0.0215, window: month, steps: [{at: 100%, use: free}]}
  tiny: {limit: $0.001, window: month}
defaults: {retry: {extra: 0}}
routes:
  one: {start: near, budgets: [month], admit: {input: 200, output: 2k}}
  user: {start: near, budgets: [user], admit: {input: 200, output: 2k}}
  wide: {start: near, budgets: [wide], admit: {input: 200, output: 2k}}
  down: {start: near, budgets: [down], admit: {input: 200, output: 2k}}
  late: {start: {fallback: [free, near]}, budgets: [tiny], admit: {input: 200, output: 2k}}
"""


@pytest.fixture
async def budgeted(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES, settings=SETTINGS)
    async with running(folder) as started:
        yield started
    assert started.sidecar.host.executor.ledger.open_holds() == 0


def spent(started: Running, name: str) -> int:
    ledger, now = started.sidecar.host.executor.ledger, started.sidecar.host.executor.clock.wall()
    return sum(
        standing.spent + standing.held
        for account, standing in ledger.rows(int(now * 1000))
        if account.key.startswith(f"budget/{name}/")
    )


SAID = {
    "openai_chat": {"type": "insufficient_quota", "code": "budget_exceeded"},
    "openai_completions": {"type": "insufficient_quota", "code": "budget_exceeded"},
    "openai_responses": {"type": "insufficient_quota", "code": "budget_exceeded"},
    "anthropic_messages": {"type": "billing_error"},
    "gemini": {"code": 402, "status": "RESOURCE_EXHAUSTED"},
}


async def test_beyond_a_budget_in_every_format(budgeted: Running, vendor: Vendor) -> None:
    await fill(budgeted, "one")
    calls = len(vendor.bodies)
    for dialect, (path, body) in [*STREAMS.items(), *WHOLES.items()]:
        answer = await budgeted.client.post(path.replace("MODEL", "one"), json={"model": "one", **body})
        assert answer.status_code == 402, (dialect, answer.text)
        assert 0 < int(answer.headers["retry-after"]) <= 31 * 86_400
        assert "the budget `month` has no room for $0.02" in answer.text
        assert "of $0.0215 are spent or held" in answer.text
        moment = re.search(r"it has room again at ([0-9T:+-]+)", answer.text)
        assert moment is not None
        assert datetime.fromisoformat(moment[1]).day == 1
        assert moment[1][10:] in ("T00:00:00+01:00", "T00:00:00+02:00"), "midnight in Berlin"
        assert answer.headers["content-type"].startswith("application/json")
        if dialect in SAID:
            assert SAID[dialect].items() <= answer.json()["error"].items(), dialect
    assert len(vendor.bodies) == calls, "nobody was called"


async def fill(budgeted: Running, name: str) -> None:
    """Spend so much of a budget that one more request does not fit."""
    for _ in range(60):
        if (await budgeted.chat(name)).status_code == 402:
            return
    raise AssertionError(f"{name} never had too little room")


async def test_what_a_request_costs_is_what_is_counted(budgeted: Running, vendor: Vendor) -> None:
    answer = await budgeted.chat("wide")
    assert answer.headers["x-engine-cost"] == "0.000042"
    assert spent(budgeted, "wide") == COST
    vendor.answer = streams()
    assert (await budgeted.chat("wide", stream=True)).status_code == 200
    assert spent(budgeted, "wide") == 2 * COST
    vendor.answer = answers({"error": {"message": "no"}}, 400)
    assert (await budgeted.chat("wide")).status_code == 400
    assert spent(budgeted, "wide") == 2 * COST, "an error is not billed"


async def test_a_repeat_is_charged_once(budgeted: Running) -> None:
    body = {"model": "wide", "messages": [{"role": "user", "content": "Hello?"}]}
    for _ in range(3):
        await budgeted.client.post("/v1/chat/completions", json=body, headers={"idempotency-key": "k-1"})
    assert spent(budgeted, "wide") == COST


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_pays_for_what_may_be_billed(
    budgeted: Running, vendor: Vendor, stream: bool
) -> None:
    vendor.answer = begins_only if stream else silence
    body = {"model": "wide", "messages": [{"role": "user", "content": "Hello?"}], "stream": stream}
    reader, writer = await budgeted.connect()
    writer.write(post(body))
    await vendor.asked()
    if stream:
        await asyncio.wait_for(reader.readuntil(b"Hel"), 30)
    writer.close()
    ledger = budgeted.sidecar.host.executor.ledger
    while ledger.open_holds():
        await asyncio.sleep(0.005)
    # Of a stream what had come, of an answer in one piece the worst case: 2k tokens of output.
    assert spent(budgeted, "wide") > 0
    assert (spent(budgeted, "wide") > 20_000_000) is not stream


async def test_a_call_that_failed_is_told_before_a_budget(budgeted: Running, vendor: Vendor) -> None:
    """In a stream that a heartbeat has begun, as its last event."""

    async def refuses(connection: Connection) -> None:
        await passed(0.25)
        await answers({"error": {"message": "busy"}}, 503)(connection)

    vendor.answer = refuses
    answer = await budgeted.chat("late", stream=True)
    assert answer.text.startswith(":")
    assert '"code":"overloaded"' in answer.text


async def test_a_jump_keeps_serving(budgeted: Running, vendor: Vendor) -> None:
    for _ in range(60):
        answer = await budgeted.chat("down")
        assert answer.status_code == 200
        if answer.headers["x-engine-deployment"] == "free":
            return
    raise AssertionError("nobody jumped")


async def test_sixty_at_once_spend_no_more_than_there_is(budgeted: Running, vendor: Vendor) -> None:
    gate = asyncio.Event()

    async def waits(connection: Connection) -> None:
        await gate.wait()
        await answers(chat())(connection)

    vendor.answer = waits
    asked = [asyncio.create_task(budgeted.chat("wide")) for _ in range(60)]
    ledger = budgeted.sidecar.host.executor.ledger
    while sum(task.done() for task in asked) + ledger.open_holds() < len(asked):
        await asyncio.sleep(0.01)
    assert spent(budgeted, "wide") <= 200_000_000
    gate.set()
    statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
    assert set(statuses) == {200, 402}
    assert statuses.count(200) == 9, "so many worst cases of $0.02 and some input"
    assert spent(budgeted, "wide") == statuses.count(200) * COST


async def test_a_reload_keeps_what_is_spent(budgeted: Running) -> None:
    await fill(budgeted, "one")
    file = budgeted.folder / "routes" / "main.yaml"
    file.write_text(ROUTES.replace("month: {limit: $0.0215", "month: {limit: $0.03"))
    assert (await budgeted.client.post("/admin/reload")).status_code == 200
    before = spent(budgeted, "month")
    assert before > 0
    assert (await budgeted.chat("one")).status_code == 200
    assert spent(budgeted, "month") == before + COST


async def test_who_has_no_value_is_told_so(budgeted: Running) -> None:
    answer = await budgeted.chat("user")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "budget_partition_missing"
    assert (await budgeted.chat("user", user="u-1")).status_code == 200


async def test_a_restart_keeps_what_is_spent(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES, settings=SETTINGS)
    file = folder / "engine.yaml"
    file.write_text(file.read_text().replace("state: memory", "state: sqlite:.engine/state.db"))
    async with running(folder) as started:
        for _ in range(3):
            assert (await started.chat("wide")).status_code == 200
        assert spent(started, "wide") == 3 * COST
    async with running(folder) as started:
        assert (await started.chat("wide")).status_code == 200
        assert spent(started, "wide") == 4 * COST


@pytest.mark.parametrize("field", [{"service_tier": "priority"}, {"speed": "fast"}])
async def test_a_dearer_call_is_not_bought_where_money_is_counted(
    budgeted: Running, vendor: Vendor, field: dict[str, str]
) -> None:
    calls = len(vendor.bodies)
    answer = await budgeted.chat("wide", **field)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == next(iter(field))
    assert len(vendor.bodies) == calls
    assert (await budgeted.chat("wide", service_tier="flex")).status_code == 200


async def test_a_call_in_the_background_is_not_made_where_money_is_counted(
    budgeted: Running, vendor: Vendor
) -> None:
    calls = len(vendor.bodies)
    body = {"model": "wide", "input": "hi", "background": True}
    answer = await budgeted.client.post("/v1/responses", json=body)
    assert answer.status_code == 400
    assert len(vendor.bodies) == calls
