"""What the fault tests share is in `harness`; this makes it, and the servers' own, importable."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# tests are not packages
sys.path.append(str(Path(__file__).parents[1] / "server"))
sys.path.append(str(Path(__file__).parent))

from harness import KEY

from engine.bench.faults.provider import Provider


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    """A vendor that fails to order, and the key that it is shown."""
    monkeypatch.setenv("FAULTS_KEY", KEY)
    async with Provider() as made:
        yield made
