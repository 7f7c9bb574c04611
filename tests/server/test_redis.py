"""Sidecars that share a real Valkey: one limit's worth together, and what clients see while it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from running import Running, running, write_workspace
from store_server import Server
from vendor import Vendor, answers, chat

from engine.control.compile_child import compile_here
from engine.control.compiled import Compiled
from engine.state.redis import link as redis_link

ROUTES = """\
deployments:
  near: {provider: fake, model: m-1}
  far: {provider: fake, model: m-1}
budgets:
  strict: {limit: $1, window: month}
  lends: {limit: $1, window: month, on_state_loss: local_share}
  small: {limit: $0.003, window: month}
limits:
  few: {requests: {rate: 1/h, burst: 40}}
routes:
  one: near
  strict: {start: near, budgets: [strict], admit: {output: 100}}
  lends: {start: near, budgets: [lends], admit: {output: 100}}
  small: {start: near, budgets: [small], admit: {output: 100, input: 100}}
  few: {start: near, limits: [few]}
  sticky: {start: {balance: [near, far], rank: round_robin, sticky: {by: request.user}}}
"""


PORTS, VENDOR = (free_port(), free_port()), free_port()
ADDRESS = f"redis://127.0.0.1:{PORTS[0]},127.0.0.1:{PORTS[1]}/0"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are here, and tell what they hold within a beat."""
    monkeypatch.setattr(redis_link, "SETTLE_MS", 800)
    monkeypatch.setattr(redis_link, "PROBE_S", 10.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault of the store's."""
    monkeypatch.setattr(redis_link, "DEADLINE_MS", 3_000)


@pytest.fixture
def bearing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away is found soon enough for a test, and none that a busy machine holds up."""
    monkeypatch.setattr(redis_link, "DEADLINE_MS", 400)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "store", PORTS[0]).start().aged()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """Always at one address, so that a plan which names it serves all tests."""
    made = Vendor()
    made.port = VENDOR
    async with made:
        yield made


@cache
def workspace(port: int) -> tuple[Path, Compiled]:
    """Compiled once for all tests: a vendor at that port, the store at the two above."""
    folder = Path(tempfile.mkdtemp(prefix="engine-redis-"))
    write_workspace(folder, port, routes=ROUTES)
    text = (folder / "engine.yaml").read_text().replace("state: memory", f"state: {ADDRESS}")
    (folder / "engine.yaml").write_text(f"{text}timezone: UTC\nusage: off\n")
    return folder, compile_here(folder, None)


@contextlib.asynccontextmanager
async def sidecars(vendor: Vendor, folder: Path, count: int = 2) -> AsyncIterator[list[Running]]:
    """So many on one store, as if each were on a host of its own."""
    vendor.answer = answers(chat())
    source, compiled = workspace(vendor.port)
    async with contextlib.AsyncExitStack() as stack:
        started = []
        for number in range(count):
            here = folder / f"host-{number}"
            if not here.exists():
                shutil.copytree(source, here)
            started.append(await stack.enter_async_context(running(here, compiled=compiled)))
        yield started
        for each in started:
            assert each.sidecar.host.executor.ledger.open_holds() == 0


async def until(there: Any, seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, "it never came to be"
        await asyncio.sleep(0.01)


def link(each: Running) -> Any:
    return each.sidecar.host.sharing.store.link


@pytest.mark.usefixtures("patient")
async def test_two_sidecars_admit_one_limits_worth(vendor: Vendor, tmp_path: Path, store: Server) -> None:
    async with sidecars(vendor, tmp_path) as both:
        told = await asyncio.gather(*(both[n % 2].chat("few") for n in range(60)))
        seen = Counter(answer.status_code for answer in told)
        later = 0
        for turn in range(20):  # what one had left over the other finds
            await asyncio.sleep(0.03)
            later += (await both[turn % 2].chat("few")).status_code == 200
            if seen[200] + later == 40:
                break
        assert seen[200] + later == 40
        assert set(seen) == {200, 429}


@pytest.mark.usefixtures("patient")
async def test_two_sidecars_spend_one_budget(vendor: Vendor, tmp_path: Path, store: Server) -> None:
    async with sidecars(vendor, tmp_path) as both:
        spent: Counter[int] = Counter()
        for _ in range(4):
            told = await asyncio.gather(*(both[n % 2].chat("small") for n in range(20)))
            spent.update(answer.status_code for answer in told)
        assert set(spent) == {200, 402}
        refused = 0
        for turn in range(150):  # one at a time, to the last that fits; a refusal may be 100 ms old
            spent[status := (await both[turn % 2].chat("small")).status_code] += 1
            refused = refused + 1 if status == 402 else 0
            if refused == 2:
                break
            await asyncio.sleep(0.12 * refused)
        each = 12 * 1_000 + 3 * 10_000  # nano-dollars: of 12 tokens in, 3 out
        worst = 100 * 1_000 + 100 * 10_000
        assert spent[200] * each <= 3_000_000
        ledger = both[0].sidecar.host.executor.ledger
        await until(lambda: not link(both[0]).settling_ms())
        rows = {account.key: standing for account, standing in await ledger.rows(int(time.time() * 1000))}
        (standing,) = [row for key, row in rows.items() if key.startswith("budget/small/")]
        assert standing.spent <= 3_000_000
        assert standing.left < worst


@pytest.mark.usefixtures("patient")
async def test_where_a_client_is_sticky_both_know(vendor: Vendor, tmp_path: Path, store: Server) -> None:
    async with sidecars(vendor, tmp_path) as both:
        served = set()
        for turn in range(6):
            answer = await both[turn % 2].chat("sticky", user="someone")
            served.add(answer.headers["x-engine-deployment"])
            await both[turn % 2].sidecar.host.state.shared.close()
        assert len(served) == 1


@pytest.mark.usefixtures("bearing")
@pytest.mark.parametrize("how", ["stopped", "killed", "flushed", "failed over"])
async def test_clients_see_what_is_declared(vendor: Vendor, tmp_path: Path, store: Server, how: str) -> None:
    """Mid-load, the store goes: no 5xx but the declared rejections, and all counts are right afterwards."""
    second = Server(tmp_path / "second", PORTS[1], "--replicaof", "127.0.0.1", str(store.port))
    if how == "failed over":
        second.start()
    try:
        async with sidecars(vendor, tmp_path) as both:
            seen: Counter[tuple[str, int]] = Counter()
            going = True

            async def client(number: int) -> None:
                turn = 0
                while going:
                    turn += 1
                    route = ("strict", "lends")[turn % 2]
                    answer = await both[number % 2].chat(route)
                    seen[route, answer.status_code] += 1
                    if answer.status_code == 503:
                        assert answer.json()["error"]["code"] == "state_unavailable", answer.text
                        assert int(answer.headers["retry-after"]) >= 1
                        await asyncio.sleep(0.02)

            clients = [asyncio.create_task(client(n)) for n in range(8)]
            await until(lambda: sum(seen.values()) > 60)
            began = [link(each).generation for each in both]
            if how == "flushed":
                store.call("FLUSHALL")
            else:
                store.signal(signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
                await until(lambda: not any(link(each).up for each in both))
                before = sum(seen.values())
                await until(lambda: sum(seen.values()) > before + 60)
            if how == "stopped":
                store.signal(signal.SIGCONT)
            elif how == "killed":
                store.stop()
                store.start()
            elif how == "failed over":
                second.call("REPLICAOF", "NO", "ONE")
            if how != "stopped":
                await until(lambda: all(link(each).generation not in began for each in both))
            await until(lambda: all(link(each).up and not link(each).settling_ms() for each in both))
            before = sum(seen.values())
            await until(lambda: sum(seen.values()) > before + 30)
            going = False
            await asyncio.gather(*clients)
            assert {status for _, status in seen} <= {200, 503}
            assert ("lends", 503) not in seen, seen
            served = {route: count for (route, status), count in seen.items() if status == 200}
            each = 12 * 1_000 + 3 * 10_000
            ledgers = [one.sidecar.host.executor.ledger for one in both]
            for ledger in ledgers:
                await ledger.shared._beats.beat()
            rows = {account.key: row for account, row in await ledgers[0].rows(int(time.time() * 1000))}
            for route, count in served.items():
                (row,) = [row for key, row in rows.items() if key.startswith(f"budget/{route}/")]
                assert (row.spent, row.lost) == (count * each, 0)
            status = await both[0].status()
            assert status["store"]["up"]
    finally:
        second.stop()


async def test_a_sidecar_starts_without_its_store(vendor: Vendor, tmp_path: Path) -> None:
    """R1, where this host knows which client keys there are."""
    server = Server(tmp_path / "store", PORTS[0]).start().aged()
    try:
        async with sidecars(vendor, tmp_path, 1):
            pass
        server.stop()
        async with sidecars(vendor, tmp_path, 1) as (alone,):
            told = (await alone.status())["store"]
            assert (told["up"], str(server.port) in told["why"]) == (False, True)
            assert [(await alone.chat(route)).status_code for route in ("one", "lends", "strict")] == [
                200,
                200,
                503,
            ]
            ready = await alone.client.get("/readyz")
            assert (ready.status_code, ready.json()["store"]) == (200, "away")
            metrics = (await alone.client.get("/metrics")).text
            assert "engine_state_store_up 0.0" in metrics
            server.start().aged()
            await until(lambda: link(alone).up and not link(alone).settling_ms())
            assert (await alone.chat("strict")).status_code == 200
    finally:
        server.stop()
