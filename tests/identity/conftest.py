"""An identity provider for the tests of this folder."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# tests are not packages: this makes `minting` importable
sys.path.append(str(Path(__file__).parent))

from minting import Provider


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Its keys are at /keys."""
    async with Provider().running() as running:
        running.shows_keys()
        yield running
