"""The simulator: many seeds keep every promise, a seed is a run, and a planted bug is found.

The seeds take about 30 s together: they stand for a day of faults, and each file of them runs beside others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.policies.rolling import RollingCounter
from engine.runtime.funds import Funds
from engine.runtime.leases import Leases
from engine.runtime.live import LiveFlow
from engine.runtime.open_flow import OpenFlow
from engine.runtime.run import Run as Request
from engine.runtime.snapshot import Snapshot
from engine.simulate.run import run, run_many
from engine.wire.stream_reader import StreamReader

FAILED = yaml.safe_load(Path(__file__).with_name("failed_seeds.yaml").read_text())
EACH = 50


@pytest.mark.parametrize("first", range(0, 500, EACH))
def test_seeds_keep_every_promise(first: int) -> None:
    bad, _ = run_many(range(first, first + EACH))
    assert not bad, "\n".join(f"seed {each.seed}: {words}" for each in bad for words in each.broken)


@pytest.mark.parametrize("row", FAILED, ids=lambda row: str(row["seed"]))
def test_a_seed_that_once_failed(row: dict[str, Any]) -> None:
    assert run(row["seed"]).broken == ()


def test_a_seed_is_a_run_in_any_process() -> None:
    told = "from engine.simulate.run import run; print(*(run(seed).digest for seed in range(3)))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", told],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert digests == {" ".join(run(seed).digest for seed in range(3)) + "\n"}


def _end_is_success(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StreamReader, "complete", property(lambda self: True))


def _kept_lease(patch: pytest.MonkeyPatch) -> None:
    async def release(*_: Any) -> None:
        pass

    patch.setattr(Leases, "release", release)


def _open_socket(patch: pytest.MonkeyPatch) -> None:
    async def close(self: OpenFlow) -> None:
        self.guard.close()

    patch.setattr(OpenFlow, "close", close)


def _no_ceiling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Request, "next_attempt", lambda self: self.calls + 1)


def _held_plan(patch: pytest.MonkeyPatch) -> None:
    own = Snapshot.unpin
    patch.setattr(Snapshot, "unpin", lambda self: own(self) if self.users > 1 else None)


def _no_settling(patch: pytest.MonkeyPatch) -> None:
    async def end(self: LiveFlow, failure: str | None) -> None:
        await self._open.close()

    patch.setattr(LiveFlow, "_end", end)


def _look_first(patch: pytest.MonkeyPatch) -> None:
    """As who looks first and counts afterwards: what is under way is not seen."""

    def fits(self: RollingCounter, amount: int, now_ms: int) -> bool:
        return self.left(now_ms) + self.held > 0

    patch.setattr(RollingCounter, "fits", fits)


def _charged_twice(patch: pytest.MonkeyPatch) -> None:
    own = Funds.settle
    patch.setattr(Funds, "settle", lambda self, lease, cost, usage: own(self, lease, 2 * cost, usage))


@pytest.mark.parametrize(
    "plant",
    [
        _end_is_success,
        _kept_lease,
        _open_socket,
        _no_ceiling,
        _held_plan,
        _no_settling,
        _look_first,
        _charged_twice,
    ],
)
def test_a_planted_bug_is_found_and_its_seed_replays(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = next(done for seed in range(500) if (done := run(seed)).broken)
    assert run(found.seed) == found
