"""A sidecar in this process, over real sockets, in front of a vendor that answers to order."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# tests are not packages: this makes `scripted`, `vendor` and `running` importable
sys.path.append(str(Path(__file__).parent.parent / "upstream"))
sys.path.append(str(Path(__file__).parent))

from running import Running, running, write_workspace
from vendor import Vendor


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """A fake vendor on loopback, OpenAI-compatible, whose next answers a test chooses."""
    async with Vendor() as served:
        yield served


@pytest.fixture
async def sidecar(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    """A sidecar with the routes `one` (the vendor) and `both` (a closed port, then the vendor)."""
    async with running(write_workspace(tmp_path / "ws", vendor.port)) as started:
        yield started
