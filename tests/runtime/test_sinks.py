"""Where records go."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.runtime import sinks
from engine.runtime.record import AttemptRecord, DecisionRecord
from engine.runtime.sinks import JsonLines, Ring, as_json
from engine.wire.pricing import Cost


def record(number: int = 1) -> DecisionRecord:
    attempt = AttemptRecord(1, "d", "n", "p", "m", 0.0, cost=Cost(input=3, output=4))
    return DecisionRecord(id=f"r{number}", at="2026-12-01T10:00:00+00:00", revision="x", attempts=[attempt])


def test_the_ring_keeps_the_last() -> None:
    ring = Ring(3)
    for number in range(5):
        ring(record(number))
    assert [r.id for r in ring.last()] == ["r2", "r3", "r4"]
    assert [r.id for r in ring.last(2)] == ["r3", "r4"]


def test_as_json() -> None:
    data = as_json(record())
    assert (data["cost"], data["attempts"][0]["cost"]["total"], data["schema"]) == (7, 7, 1)
    assert json.loads(json.dumps(data)) == json.loads(json.dumps(data))


def test_an_orderly_end_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "decisions.jsonl"
    sink = JsonLines(path)
    for number in range(2_000):
        sink(record(number))
    sink.close()
    sink.close()
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [
        f"r{n}" for n in range(2_000)
    ]


def test_it_appends(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    for number in range(2):
        sink = JsonLines(path)
        sink(record(number))
        sink.close()
    assert len(path.read_text().splitlines()) == 2


def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        JsonLines(tmp_path / "file" / "d.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_delays_nobody_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = JsonLines(Path("/dev/full"))
    for number in range(50):
        sink(record(number))
    sink.close()
    assert caplog.text.count("cannot be written") == 1
    assert "50 records are lost" in caplog.text


def test_a_file_that_takes_nothing_holds_no_more_than_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sinks, "WAITING", 100)
    monkeypatch.setattr(sinks, "CLOSE_S", 0.2)
    path = tmp_path / "slow"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sink = JsonLines(path)
        for number in range(2_000):  # a pipe holds 64 KiB: some 150 records
            sink(record(number))
            if number % 50 == 0:
                time.sleep(0.002)
        assert sink.dropped > 1_000
        sink.close()
        assert "records are lost" in caplog.text
    finally:
        os.close(reading)
        sink._thread.join(5)


def test_lines_go_on_where_a_write_stopped(tmp_path: Path) -> None:
    sink = JsonLines(tmp_path / "d.jsonl")
    file, pieces = sink._file, bytearray()

    class Narrow:
        """Takes seven bytes at a time."""

        def write(self, data: bytes) -> int:
            pieces.extend(data[:7])
            return min(len(data), 7)

        def close(self) -> None:
            file.close()

    sink._file = Narrow()  # type: ignore[assignment]
    for number in range(5):
        sink(record(number))
    sink.close()
    assert [json.loads(line)["id"] for line in pieces.decode().splitlines()] == [f"r{n}" for n in range(5)]
