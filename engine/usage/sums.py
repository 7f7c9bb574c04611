"""What was used, by whatever it is asked by: from the sums of the hours, and the requests at the edges.

Hours that lie wholly in the time asked for are taken from their sums, the rest from single rows, so the
answer is exact to the millisecond while single rows are kept, and to the hour before.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from json import loads
from pathlib import Path
from typing import Any, Final

from engine.usage.rows import CALLER, HOUR_MS, WAY
from engine.usage.store import SUMS, StoreFault, check_version

#: How a moment is named, by the kind of time.
_TIMES: Final = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}

#: What usage can be asked by, beside the clients' own tags.
FIXED: Final = ("key", "key_id", "org", *WAY, *_TIMES)

Sums = dict[str, Any]


class UsageFault(ValueError):
    """What is asked cannot be answered. The text says why; `help` what to do."""

    def __init__(self, text: str, help: str | None = None) -> None:
        super().__init__(text)
        self.help = help


@dataclass(frozen=True, slots=True)
class Span:
    """From when (inclusive) to when (exclusive), in epoch ms; None: without an end."""

    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was used. rows: labels and sums, the dearest first. tags: the names that callers have."""

    by: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], Sums], ...]
    total: Sums
    tags: tuple[str, ...]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A store, to read from; a sidecar may be writing it. Raises StoreFault."""
    if not path.is_file():
        raise StoreFault(f"there is no usage store {path}")
    db = _reading(path)
    try:
        if check_version(db) == 0:
            raise StoreFault("nothing was ever kept in it")
        db.execute("BEGIN")  # all that is read is of one moment
        yield db
    except (sqlite3.Error, StoreFault) as error:
        raise StoreFault(f"{path} cannot be read as a usage store: {error}") from None
    finally:
        db.close()


def _reading(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=5, isolation_level=None)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # A copy in a folder where nothing can be written: nobody writes it either.
        db.close()
        return sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
    except sqlite3.DatabaseError:
        pass  # told by whoever reads it
    return db


def used(paths: Iterable[Path], by: Sequence[str], span: Span, zone: tzinfo | None) -> Found:
    """What was used according to these stores together.

    Args:
        paths: stores, each of another host; one that is given twice is read once.
        by: names of `FIXED`, and tags; `tags.NAME` is a tag whatever its name.
        span: the time.
        zone: whose hours, days and months are meant; default UTC.

    Raises:
        StoreFault: a file cannot be read.
        UsageFault: nobody has such a tag.
    """
    rows: dict[tuple[str, ...], Sums] = {}
    total = dict.fromkeys(SUMS, 0)
    tags: set[str] = set()
    for path in dict.fromkeys(path.resolve() for path in paths):
        with opened(path) as db:
            reading = _Reading(db, by, zone or UTC)
            tags |= reading.tags
            for labels, sums in reading.sums(span):
                _add(rows.setdefault(labels, dict.fromkeys(SUMS, 0)), sums)
                _add(total, sums)
    _check(by, tags)
    ordered = sorted(rows.items(), key=lambda row: _order(by, row))
    return Found(tuple(by), tuple(ordered), total, tuple(sorted(tags)))


def _add(into: Sums, sums: Mapping[str, Any]) -> None:
    for name, value in sums.items():
        into[name] += value


def _order(by: Sequence[str], row: tuple[tuple[str, ...], Sums]) -> tuple[Any, ...]:
    """Times in their order, then what cost most."""
    labels, sums = row
    times = tuple(label for name, label in zip(by, labels, strict=True) if name in _TIMES)
    return (*times, -sums["cost_nanos"], -sums["requests"], labels)


def _check(by: Sequence[str], tags: set[str]) -> None:
    """A name that is neither a column nor a tag of anybody is a typo."""
    for name in by:
        tag = _tag(name)
        if tag is not None and tag not in tags:
            near = get_close_matches(tag, [*FIXED, *tags], 1)
            hint = f"did you mean {near[0]}? " if near else ""
            known = f"tags: {', '.join(sorted(tags))}" if tags else "no request had any tags"
            raise UsageFault(f"usage is not kept by {name!r}", f"{hint}It is by {', '.join(FIXED)}; {known}")


def _tag(name: str) -> str | None:
    """The tag that is meant; None: one of `FIXED`."""
    if name in FIXED:
        return None
    return name.removeprefix("key.").removeprefix("tags.")


class _Reading:
    """One store, asked by something."""

    def __init__(self, db: sqlite3.Connection, by: Sequence[str], zone: tzinfo) -> None:
        self._db = db
        self._callers = {n: dict(zip(CALLER, row, strict=True)) for n, *row in _table(db, "callers", CALLER)}
        self.tags: set[str] = set()
        for caller in self._callers.values():
            caller["tags"] = loads(caller["tags"] or "{}")
            self.tags |= caller["tags"].keys()
        self._ways = {n: row for n, *row in _table(db, "ways", WAY)}
        self._label = [_label(name, zone) for name in by]
        kinds = {label.of for label in self._label}
        self._keys = [column for column in ("slot_ms", "caller", "way") if column in kinds]

    def sums(self, span: Span) -> Iterator[tuple[tuple[str, ...], Sums]]:
        """Labels and sums; the same labels may come again."""
        since, until = span.since_ms, span.until_ms
        yield from self._grouped(
            "hours",
            {name: f"TOTAL({name})" if name == "duration_ms" else f"SUM({name})" for name in SUMS},
            [("slot_ms >= ?", since), ("slot_ms <= ?", None if until is None else until - HOUR_MS)],
        )
        if since is not None:  # the hour that it begins in
            yield from self._grouped(
                "calls",
                SUMS,
                [
                    ("at_ms >= ?", since),
                    ("at_ms < ?", since + HOUR_MS),
                    ("slot_ms < ?", since),
                    ("at_ms < ?", until),
                ],
            )
        if until is not None:  # the hour that it ends in
            yield from self._grouped(
                "calls",
                SUMS,
                [
                    ("at_ms >= ?", until - HOUR_MS),
                    ("at_ms < ?", until),
                    ("slot_ms > ?", until - HOUR_MS),
                    ("slot_ms >= ?", since),
                ],
            )

    def _grouped(
        self, table: str, sums: Mapping[str, str], bounds: Sequence[tuple[str, int | None]]
    ) -> Iterator[tuple[tuple[str, ...], Sums]]:
        given = [(test, value) for test, value in bounds if value is not None]
        where = " AND ".join(test for test, _ in given) or "1"
        keys = ", ".join(self._keys)
        text = f"SELECT {', '.join([*self._keys, *sums.values()])} FROM {table} WHERE {where}"  # noqa: S608 - own names
        rows = self._db.execute(f"{text} GROUP BY {keys}" if keys else text, [value for _, value in given])
        count = len(self._keys)
        for row in rows:
            found = dict(zip(self._keys, row, strict=False))
            values = dict(zip(sums, row[count:], strict=True))
            if values["requests"] is not None:  # no rows at all
                yield tuple(self._labelled(label, found) for label in self._label), values

    def _labelled(self, label: _Label, found: Mapping[str, int]) -> str:
        key = found[label.of]
        if label.of == "slot_ms":
            return label.read(key)
        return label.read(self._callers[key] if label.of == "caller" else self._ways[key])


@dataclass(frozen=True, slots=True)
class _Label:
    """What a row is called: `of` the column it depends on, `read` from that."""

    of: str
    read: Callable[[Any], str]


def _label(name: str, zone: tzinfo) -> _Label:
    if name in _TIMES:
        form = _TIMES[name]
        return _Label(
            "slot_ms", lru_cache(lambda slot: datetime.fromtimestamp(slot / 1000, zone).strftime(form))
        )
    if name in WAY:
        at = WAY.index(name)
        return _Label("way", lambda way: str(way[at]))
    if name == "key":
        return _Label("caller", lambda caller: str(caller["key_name"] or caller["key"]))
    if name == "key_id":
        return _Label("caller", lambda caller: str(caller["key"]))
    if name == "org":
        return _Label("caller", lambda caller: str(caller["org"]))
    tag = _tag(name)
    return _Label("caller", lambda caller: str(caller["tags"].get(tag, "")))


def _table(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    yield from db.execute(f"SELECT n, {', '.join(columns)} FROM {table}")  # noqa: S608 - own names
