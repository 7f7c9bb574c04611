"""SIGKILL at every phase of a request: what is spent is never less than what the vendor bills, and no more
than it was or may have been; what was held comes free.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from killed_requests import COST, PHASES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

KILLS = 19 * len(PHASES)
#: The output alone of what a request holds: 40 tokens at $10/M.
LEAST = 400_000
#: Where a kill leaves a call that may be billed, and what the vendor had billed by then.
LOST = {
    "after sent": 0,
    "asked": 0,
    "billed": COST,
    "first bytes": COST,
    "last bytes": COST,
    "in settle": COST,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what is synced at each start is not what is tested."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="engine-kills-", dir=memory if os.access(memory, os.W_OK) else None))
    yield made
    shutil.rmtree(made)


@pytest.mark.timeout(120)
def test_two_hundred_kills(folder: Path) -> None:
    script = Path(__file__).with_name("killed_requests.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(folder), str(KILLS)], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    seen = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(seen) == KILLS + 1
    zero = {"all": [0, 0, 0], "two": [0, 0, 0]}
    for one, after in pairwise(seen):
        before = {**zero, **one}
        phase = before["phase"]
        billed = after["billed"] - before["billed"]
        spent, held, lost = after.get("all", [0, 0, 0])
        tokens, tokens_held, _ = after.get("two", [0, 0, 0])
        assert (held, tokens_held) == (0, 0), f"{phase}: what it held is not free"
        assert spent >= after["billed"], f"{phase}: less is counted than was billed"
        more, more_lost = spent - before["all"][0], lost - before["all"][2]
        if phase in LOST:
            assert billed == LOST[phase], phase
            assert LEAST < more == more_lost < 2 * LEAST, phase
            assert 40 < tokens - before["two"][0] < 100, phase
        else:
            assert (more, more_lost) == (billed, 0), f"{phase}: charged twice, or not at all"
            assert billed == (COST if phase == "after settle" else 0)
