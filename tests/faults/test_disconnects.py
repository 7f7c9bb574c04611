"""C1, many times over: `engine bench disconnects` in small, whose figures here must hold too."""

from __future__ import annotations

import sys

import pytest

from engine.bench.disconnects import Options, bench


@pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc")
def test_clients_that_leave_leave_nothing() -> None:
    report = bench(Options(count=90, at_once=15, smoke=True))
    rows = {row.name: row for row in report.rows}
    for name in ("disconnects", "tasks left, over the baseline", "files left, over the baseline"):
        assert rows[name].holds, report.as_text()
    assert rows["streams that broke by themselves"].value == 0
    # How soon is the bench's to judge, and that of `test_leaving`.
    assert len([name for name in rows if "p99" in name]) == 3
