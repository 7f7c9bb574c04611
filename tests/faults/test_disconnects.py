"""C1, many times over: `engine bench disconnects` in small, whose figures here must hold too."""

from __future__ import annotations

import sys

import pytest

from engine.bench.disconnects import Options, bench


@pytest.mark.skipif(sys.platform != "linux", reason="open files are read from /proc")
@pytest.mark.alone
def test_clients_that_leave_leave_nothing() -> None:
    report = bench(Options(count=90, at_once=15, smoke=True))
    assert report.ok, report.as_text()
    rows = {row.name: row for row in report.rows}
    for name in ("disconnects", "tasks left, over the baseline", "files left, over the baseline"):
        assert rows[name].holds, report.as_text()
    assert rows["streams that broke by themselves"].value == 0
    late = [row for name, row in rows.items() if "p99" in name]
    assert len(late) == 3
    assert all(row.holds for row in late), report.as_text()
