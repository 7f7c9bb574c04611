"""Where a process counts: nothing is opened before a plan counts something, and then once for all plans."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import httpx
import pytest

from engine import Engine
from engine.compiler.pipeline import compile_folder
from engine.control.host import Host
from engine.control.reload import ProvisionFault
from engine.observe.metrics import Metrics
from engine.plan.plan import Plan
from engine.state.memory_ledger import MemoryLedger

STORE = "sqlite:.engine/state.db"
FREE = "deployments: {a: {provider: acme, model: large}}\nroutes: {chat: a}\n"
COUNTED = FREE.replace(
    "{chat: a}", "{chat: {start: a, budgets: [all], admit: {input: 400, output: 40}}}"
) + "budgets: {all: {limit: $1, window: every 365d}}\n"  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("routes", "providers.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "providers.d" / "acme.yaml").write_text(
        "dialect: openai_chat\nauth: none\nbase_url: http://127.0.0.1:9\nresidency: on_prem\n"
        "models: {large: {context: 8k, output: 1k, input_price: $1/M, output_price: $10/M}}\n"
    )
    return tmp_path


def plan(folder: Path, routes: str, settings: str = "usage: off\n") -> Plan:
    (folder / "routes" / "r.yaml").write_text(routes)
    (folder / "engine.yaml").write_text(settings)
    done = compile_folder(folder)
    assert done.plan is not None, [str(each) for each in done.diagnostics]
    return done.plan


async def test_the_file_is_made_for_the_first_plan_that_counts(folder: Path) -> None:
    file = folder / ".engine" / "state.db"
    async with Host.open(folder, Metrics(), state=STORE) as host:
        first = await host.provision(plan(folder, FREE))
        host.live()
        assert not file.parent.exists()
        assert isinstance(host.executor.ledger, MemoryLedger)
        second = await host.provision(plan(folder, COUNTED))
        host.live()
        assert file.exists()
        ledger = host.executor.ledger
        assert host.executor.funds.ledger is host.executor.quotas.ledger is ledger
        third = await host.provision(plan(folder, COUNTED.replace("$1,", "$2,")))
        host.live()
        assert host.executor.ledger is ledger  # over all plans
        for each in (first, second, third):
            await each.close()
    assert not file.with_name("state.db-wal").exists()  # closed, and all of it in the file


async def test_a_store_that_cannot_be_made_is_a_reason_not_to_run_a_plan(folder: Path) -> None:
    (folder / ".engine").write_text("a file where the folder should be")
    async with Host.open(folder, Metrics(), state=STORE) as host:
        running = await host.provision(plan(folder, FREE))
        with pytest.raises(ProvisionFault, match=r"cannot be made: .* `state: sqlite:PATH`"):
            await host.provision(plan(folder, COUNTED))
        (folder / ".engine").unlink()
        await (await host.provision(plan(folder, COUNTED))).close()  # the next save finds it
        await running.close()


def answer(_: httpx.Request) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return httpx.Response(200, json={"id": "c", "model": "large", "choices": [choice], "usage": usage})


async def ask(engine: Engine) -> None:
    await engine.chat(model="chat", messages=[{"role": "user", "content": "hi"}], max_tokens=10)


@pytest.mark.parametrize("compiled", [True, False])
async def test_an_embedded_engine_counts_where_a_sidecar_does(folder: Path, compiled: bool) -> None:
    made, vendor = plan(folder, COUNTED), httpx.MockTransport(answer)
    for _ in range(2):
        given = made if compiled else None
        async with Engine.open(folder, plan=given, transport=vendor) as engine:
            await ask(engine)
    with contextlib.closing(sqlite3.connect(folder / ".engine" / "state.db")) as db:
        assert db.execute("SELECT spent, held FROM accounts").fetchall() == [(84_000, 0)]


async def test_an_embedded_engine_counts_where_it_is_told(folder: Path) -> None:
    vendor, ledger = httpx.MockTransport(answer), MemoryLedger()
    plan(folder, COUNTED)
    async with Engine.open(folder, transport=vendor, ledger=ledger) as engine:
        await ask(engine)
    assert [row.spent for _, row in ledger.rows(0)] == [42_000]
    plan(folder, COUNTED, "state: memory\nusage: off\n")
    async with Engine.open(folder, transport=vendor) as engine:
        await ask(engine)
    assert not (folder / ".engine").exists()
