"""The ledgers of this host against the plain model: in memory, and in a file that two processes share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from ledger_model import LedgerMachine

from engine.state.ledger import Ledger
from engine.state.memory_ledger import MemoryLedger
from engine.state.sqlite_ledger import SqliteLedger


class MemoryMachine(LedgerMachine):
    def open(self, index: int) -> Ledger:
        return MemoryLedger()


class SqliteMachine(LedgerMachine):
    processes = 2
    mortal = True

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="engine-ledger-"))
        super().__init__()

    def open(self, index: int) -> Ledger:
        return SqliteLedger(self.folder / "state.db", lambda: self.now / 1000)

    def kill(self, index: int) -> None:
        dying = self.ledgers[index]
        assert isinstance(dying, SqliteLedger)
        dying._books.db.close()
        dying._keeper.close(done=False)  # as the system does: the lock is free, its row is there
        for other in self.ledgers:
            if other is not dying:
                assert isinstance(other, SqliteLedger)
                other._keeper.recover()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)

TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = settings(
    max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
