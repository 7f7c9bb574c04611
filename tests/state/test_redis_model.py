"""The ledger on Redis against the plain model: three processes over one server, which die and come back.

Leases may refuse what would fit and know late what others did (`exact` is off); never may they hold what has
no room.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from ledger_model import LedgerMachine
from redis_ledgers import DEADLINE_MS
from store_server import Server

from engine.state.ledger import Ledger
from engine.state.redis import draws
from engine.state.redis import slice as slices
from engine.state.redis.address import parse
from engine.state.redis.journal import Journal
from engine.state.redis.ledger import RedisLedger
from engine.state.redis.store import RedisStore


@pytest.fixture(autouse=True)
def _server(store_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "PAUSES", (0.0005, 0.001))
    monkeypatch.setattr(draws, "REFUSED", 0.0)
    monkeypatch.setattr(slices, "TTL_MS", 2**40)  # the clock jumps, and no heart beats meanwhile
    RedisMachine.server = store_server
    return


class RedisMachine(LedgerMachine):
    processes = 3
    exact = False
    mortal = True
    server: ClassVar[Server]

    def __init__(self) -> None:
        self.server.call("FLUSHALL")
        self.server.aged()
        self.folder = tempfile.TemporaryDirectory(prefix="engine-ledger-")
        self.dead: list[RedisLedger] = []
        super().__init__()

    def open(self, index: int) -> Ledger:
        async def opened() -> Ledger:
            store = await RedisStore.open(parse(self.server.address), settle_ms=0, deadline_ms=DEADLINE_MS)
            journal = Journal(Path(self.folder.name) / "redis.db")
            return await RedisLedger.open(store, journal, lambda: self.now, owns=True)

        return self.loop.run_until_complete(opened())

    def kill(self, index: int) -> None:
        dying = self.ledgers[index]
        assert isinstance(dying, RedisLedger)
        self.told(dying.store.close())
        self.dead.append(dying)

    def teardown(self) -> None:
        for ledger in self.dead:
            self.told(ledger.close())
        super().teardown()
        self.folder.cleanup()

    def beat(self) -> None:
        for ledger in self.ledgers:
            assert isinstance(ledger, RedisLedger)
            self.loop.run_until_complete(ledger._beats.beat())

    def told(self, answer: Any) -> Any:
        """What was used beyond what was held is said before anything else happens."""
        done = super().told(answer)
        owing = [part for ledger in self.ledgers for part in ledger._slices.values() if part.free < 0]
        if owing:
            self.beat()
        return done

    def _turn(self, now: int) -> None:
        super()._turn(now)
        self.beat()
        self.beat()


TestRedis = RedisMachine.TestCase
TestRedis.settings = settings(
    max_examples=5, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
