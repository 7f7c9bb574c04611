"""A real store for the tests of this folder: one server a worker, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from store_server import Server

from engine.state.redis import link, topology


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first look at a store has a quarter of a second: on a busy machine it needs more."""
    for asks in (link, topology):
        monkeypatch.setattr(asks, "PROBE_S", 10.0)


@pytest.fixture(scope="session")
def store_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("store"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def store_server(store_process: Server) -> Server:
    store_process.call("FLUSHALL")
    store_process.call("SCRIPT", "FLUSH")
    return store_process
