"""What was used: against sums made by hand, over any times, zones and several hosts' files."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest
from recorded import START, attempt, record

from engine.runtime.record import DecisionRecord
from engine.usage.rows import HOUR_MS
from engine.usage.store import StoreFault, UsageStore
from engine.usage.sums import Span, UsageFault, used
from engine.wire.pricing import Cost

AT = int(START * 1000)
BERLIN, INDIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def stored(path: Path, records: list[DecisionRecord], zone: ZoneInfo | None = None) -> Path:
    store = UsageStore(path, zone)
    store.write(records)
    store.close()
    return path


def many(count: int, seed: int, hours: float = 30.0) -> list[DecisionRecord]:
    """Requests of a few teams, over some hours, a call each or two."""
    rng = Random(seed)
    made = []
    for number in range(count):
        calls = [attempt(1, rng.choice(["near", "far"]), cost=Cost(input=rng.randrange(1, 10**6)))]
        if rng.random() < 0.2:
            calls.append(attempt(2, "judge", role="judge", cost=Cost(input=5), estimated=True))
        team = rng.choice(["a", "b", ""])
        made.append(
            record(
                f"{seed}-{number}",
                round(rng.random() * hours * 3600, 3),
                *calls,
                route=rng.choice(["chat", "code"]),
                key=f"k{number % 3}",
                key_name="bot" if number % 3 else None,
                tags={"team": team} if team else {},
                failure=rng.choice([None, None, "server"]),
                cache=rng.choice([None, "hit", "miss"]),
            )
        )
    return made


def by_hand(records: list[DecisionRecord], span: Span, team: bool = False) -> dict[str, tuple[int, ...]]:
    """Team or "" -> requests, failed, cache hits, calls, cost."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for each in records:
        at = round(datetime.fromisoformat(each.at).timestamp() * 1000)
        if (span.since_ms or 0) <= at < (span.until_ms or 10**15):
            into = sums[each.tags.get("team", "") if team else ""]
            for index, more in enumerate(
                (1, each.failure is not None, each.cache == "hit", len(each.attempts), each.cost)
            ):
                into[index] += more
    return {name: tuple(values) for name, values in sums.items()}


def told(sums: dict) -> tuple[int, ...]:
    return tuple(sums[name] for name in ("requests", "failed", "cache_hits", "calls", "cost_nanos"))


@pytest.mark.parametrize("zone", [None, BERLIN, INDIA], ids=str)
def test_any_time_is_exact(tmp_path: Path, zone: ZoneInfo | None) -> None:
    records = many(300, 1)
    path = stored(tmp_path / "u.db", records, zone)
    rng = Random(2)
    spans = [Span(), Span(AT), Span(None, AT + 10 * HOUR_MS), Span(AT + 1, AT + 2), Span(AT + HOUR_MS * 40)]
    for _ in range(20):
        first, last = sorted(AT + rng.randrange(31 * HOUR_MS) for _ in range(2))
        spans += [Span(first, last), Span(first // HOUR_MS * HOUR_MS, last), Span(first, first + 60_000)]
    for span in spans:
        found = used([path], ["team"], span, zone)
        wanted = by_hand(records, span, team=True)
        assert {labels[0]: told(sums) for labels, sums in found.rows} == wanted, span
        assert told(found.total) == by_hand(records, span).get("", (0,) * 5), span


def test_by_several(tmp_path: Path) -> None:
    path = stored(tmp_path / "u.db", many(200, 1))
    found = used([path], ["key", "role", "day"], Span(), BERLIN)
    assert {labels[0] for labels, _ in found.rows} == {"bot", "k0"}
    assert {labels[1] for labels, _ in found.rows} == {"answer", "judge"}
    days = [labels[2] for labels, _ in found.rows]
    assert days == sorted(days)
    assert set(days) == {"2026-12-01", "2026-12-02"}
    judges = [sums for labels, sums in found.rows if labels[1] == "judge"]
    assert sum(sums["requests"] for sums in judges) == 0 < sum(sums["calls"] for sums in judges)
    assert sum(sums["estimated_nanos"] for sums in judges) == sum(sums["cost_nanos"] for sums in judges)


@pytest.mark.parametrize("name", ["tags.team", "key.tags.team", "team"])
def test_a_tag_is_called_in_three_ways(tmp_path: Path, name: str) -> None:
    path = stored(tmp_path / "u.db", many(50, 1))
    assert {labels[0] for labels, _ in used([path], [name], Span(), None).rows} == {"a", "b", ""}


def test_days_are_those_of_the_zone(tmp_path: Path) -> None:
    late = record("r", 13.6 * 3600)  # 23:36 in London, after midnight in Berlin and India
    path = stored(tmp_path / "u.db", [late], INDIA)
    days = {zone: used([path], ["day"], Span(), zone).rows[0][0] for zone in (None, BERLIN, INDIA)}
    assert days == {None: ("2026-12-01",), BERLIN: ("2026-12-02",), INDIA: ("2026-12-02",)}


def test_files_of_several_hosts_are_one_and_none_counts_twice(tmp_path: Path) -> None:
    first, second = many(100, 1), many(100, 2)
    paths = [stored(tmp_path / "1.db", first), stored(tmp_path / "2.db", second)]
    (tmp_path / "again.db").symlink_to(paths[0])
    found = used([*paths, tmp_path / "again.db"], ["route"], Span(), None)
    assert told(found.total) == by_hand(first + second, Span())[""]


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    path = stored(tmp_path / "u.db", many(20, 1))
    with pytest.raises(UsageFault, match="not kept by 'taem'") as fault:
        used([path], ["taem"], Span(), None)
    assert "did you mean team?" in str(fault.value.help)
    with pytest.raises(StoreFault, match="there is no usage store"):
        used([tmp_path / "none.db"], ["key"], Span(), None)
    (tmp_path / "text.db").write_text("x" * 5_000)
    with pytest.raises(StoreFault, match="not a database"):
        used([tmp_path / "text.db"], ["key"], Span(), None)


def test_a_copy_in_a_folder_that_nobody_may_write(tmp_path: Path) -> None:
    path = stored(tmp_path / "shut" / "u.db", [record()])
    os.chmod(path.parent, 0o500)
    try:
        assert used([path], ["route"], Span(), None).total["requests"] == 1
    finally:
        os.chmod(path.parent, 0o700)


def test_a_month_answers_at_once(tmp_path: Path) -> None:
    """4,000 requests over 30 days: as many hours and ways as a hundred thousand would have, and more."""
    store = UsageStore(tmp_path / "u.db")
    store.write(many(4_000, 1, hours=720.0))
    began = time.process_time()
    found = used([tmp_path / "u.db"], ["team", "route", "day"], Span(AT + 1, AT + 700 * HOUR_MS), BERLIN)
    assert time.process_time() - began < 0.5
    assert found.total["requests"] > 3_800
    store.close()
