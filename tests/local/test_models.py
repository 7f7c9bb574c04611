"""The pool: one worker for equal wishes, kept while anybody needs it; and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

import pytest
from asking import answer, ask
from pulse import passed

from engine.local.errors import ModelError
from engine.local.models import LocalModels, Spec
from engine.local.status import Options
from engine.local.store import ModelStore


@pytest.fixture
def pool(tmp_path: Path) -> LocalModels:
    return LocalModels(ModelStore(tmp_path))


async def test_a_reload_keeps_the_worker(pool: LocalModels, canned_model: Path) -> None:
    spec = Spec("m", canned_model)
    first, second = await asyncio.gather(pool.acquire(spec), pool.acquire(Spec("m", canned_model)))
    assert first is second
    other = await pool.acquire(Spec("m", canned_model, options=Options(threads=1)))
    assert other is not first
    assert len(pool.status()) == 2
    await pool.release(spec)
    assert (await answer(first, ask())).reason == "stop"
    await pool.release(spec)
    assert first.status().state == "stopped"
    await pool.close()
    assert other.status().state == "stopped"
    assert pool.status() == []


async def test_from_the_store_and_by_provider(pool: LocalModels, tmp_path: Path, canned_model: Path) -> None:
    with pytest.raises(ModelError) as caught:
        await pool.acquire(Spec("canned"))
    assert caught.value.code == "unknown"
    assert pool.status() == []
    ModelStore(tmp_path).add(canned_model)
    stored = await pool.acquire(Spec("canned"))
    mapped = await pool.acquire(Spec("canned", (("cpu", canned_model),), ("cuda", "cpu")))
    assert (stored.status().provider, mapped.status().provider) == ("cpu", "cpu")
    await pool.close()


async def test_giving_up_while_it_loads(pool: LocalModels, canned_model: Path) -> None:
    spec = Spec("m", canned_model)
    for wait_s in (0, 0.01, 0.02, 0.05, 0.1):
        acquiring = asyncio.ensure_future(pool.acquire(spec))
        await asyncio.sleep(wait_s)
        if not acquiring.cancel():  # this machine is quick
            await pool.release(spec)
        await asyncio.gather(acquiring, return_exceptions=True)
    assert pool.status() == []
    assert children() == []


def children() -> list[str]:
    """The workers that this process started and has not seen end; a server of other tests may run beside."""
    if sys.platform != "linux":
        return []
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    named = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, name in named.items() if b"engine.local" in name or not name]  # b"": not waited for


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_ten_loads_leave_nothing_behind(pool: LocalModels, canned_model: Path) -> None:
    def state() -> tuple[int, int]:
        gc.collect()
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir()))

    spec, workers, after_first = Spec("m", canned_model), [], (0, 0)
    for cycle in range(10):
        model = await pool.acquire(spec)
        assert (await answer(model, ask())).usage["output_tokens"] == 8
        workers.append(model.status().rss or 0)
        await pool.release(spec)
        await passed(0.05)
        if cycle == 2:
            after_first = state()
    async with asyncio.timeout(30):
        while (now := state())[1] > after_first[1]:  # what ended is closed by turns of the loop
            await asyncio.sleep(0.01)
    assert now[0] - after_first[0] < 2e6, "this process grew"
    assert max(workers) - min(workers) < 10e6
    assert children() == []
