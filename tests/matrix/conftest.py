"""One sidecar in front of a fake vendor of every dialect, and the real SDKs as its clients."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest
import pytest_asyncio

# tests are not packages: this makes `scripted`, `running`, `strict`, `aws`, ... and this folder's importable
sys.path.append(str(Path(__file__).parents[1] / "upstream"))
sys.path.append(str(Path(__file__).parents[1] / "server"))
sys.path.append(str(Path(__file__).parents[1] / "oracles"))
sys.path.append(str(Path(__file__).parent))

from fakes import Fakes, write_matrix
from running import Running, running

KEY = "key-of-the-matrix"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Fakes, Running]]:
    """The fakes and the sidecar, once for all tests of a module: compiling takes longer than any of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATRIX_KEY", KEY)
        async with Fakes() as fakes:
            folder = write_matrix(tmp_path_factory.mktemp("matrix"), fakes.port)
            async with running(folder) as sidecar:
                yield fakes, sidecar


@pytest.fixture
def fakes(started: tuple[Fakes, Running]) -> Fakes:
    """The fakes, as if nobody had asked them anything: neither they nor the sidecar remember a failure."""
    started[0].reset()
    started[1].sidecar.host.health.keep((), ())
    return started[0]


@pytest.fixture
def sidecar(started: tuple[Fakes, Running]) -> Running:
    return started[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gpt(started: tuple[Fakes, Running]) -> AsyncIterator[openai.AsyncOpenAI]:
    """The openai SDK, which asks once."""
    url = f"{started[1].url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def claude(started: tuple[Fakes, Running]) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The anthropic SDK, which asks once."""
    async with anthropic.AsyncAnthropic(base_url=started[1].url, api_key="any", max_retries=0) as client:
        yield client
