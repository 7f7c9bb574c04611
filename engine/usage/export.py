"""Every call written out: as JSON Lines, as Parquet, or into a table of an SQL database.

All three have the same columns (`COLUMNS`), one row for each call, and one for a request that made none. A
file is whole or not there: it is written beside its place and renamed. In a database a row's key is the
request's id and the call's number, so whatever is exported again is there once.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from engine.usage.rows import COLUMNS as STORED
from engine.usage.sums import Span, UsageFault, opened

Kind = Literal["text", "whole", "real", "flag", "moment", "map", "uses"]

#: column -> what it holds, in order. Money is in whole nano-dollars. `uses`: what a call held and used of
#: budgets, as a list.
COLUMNS: Final[dict[str, Kind]] = {
    "id": "text",
    "attempt": "whole",
    "began_at": "moment",
    "requests": "whole",
    "part_of": "text",
    "key": "text",
    "key_name": "text",
    "org": "text",
    "tags": "map",
    "route": "text",
    "asked": "text",
    "operation": "text",
    "dialect": "text",
    "stream": "flag",
    "revision": "text",
    "request_failure": "text",
    "refused_by": "text",
    "request_status": "whole",
    "cache": "text",
    "variant": "text",
    "finish": "text",
    "duration_ms": "real",
    "role": "text",
    "deployment": "text",
    "provider": "text",
    "model": "text",
    "credential": "text",
    "failure": "text",
    "status": "whole",
    "started_ms": "real",
    "first_token_ms": "real",
    "ended_ms": "real",
    "input_tokens": "whole",
    "cached_tokens": "whole",
    "cache_write_tokens": "whole",
    "output_tokens": "whole",
    "reasoning_tokens": "whole",
    "search_units": "whole",
    "estimated": "flag",
    "cost_nanos": "whole",
    "priced": "flag",
    "reserved_nanos": "whole",
    "closed": "text",
    "budgets": "uses",
}

Row = dict[str, Any]

#: Rows that are in memory at a time, and in one transaction.
BATCH: Final = 1_000


class Target(Protocol):
    """Where rows go. Used as a context manager: leaving it without an error makes them stand."""

    def __enter__(self) -> Target: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...

    def write(self, rows: list[Row]) -> None: ...


def export(
    paths: Iterable[Path],
    to: str,
    span: Span,
    password: str | None = None,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> int:
    """Write what these stores hold of a time; returns how many rows.

    Args:
        paths: stores, each of another host.
        to: a file `.jsonl` or `.parquet`, `-` for stdout, or an SQL database's URL.
        span: the time.
        password: where the database's password is read, as `env:NAME` or `file:/path`.
        progress: told how many rows are written, of how many.

    Raises:
        StoreFault: a store cannot be read.
        UsageFault: there is no such target, or it does not take the rows.
    """
    count = 0
    with ExitStack() as stack:
        stores = [stack.enter_context(opened(path)) for path in dict.fromkeys(p.resolve() for p in paths)]
        total = sum(_count(db, span) for db in stores)
        target = stack.enter_context(_target(to, password))
        for db in stores:
            for rows in _batches(db, span):
                target.write(rows)
                count += len(rows)
                progress(count, total)
    return count


def _target(to: str, password: str | None) -> Target:
    # Deferred, each: pyarrow and SQLAlchemy are extras, and large.
    if "://" in to:
        from engine.usage.export_sql import Database

        return Database(to, password)
    if password is not None:
        raise UsageFault("--password is for a database: a file has none")
    if to == "-" or to.endswith(".jsonl"):
        from engine.usage.export_lines import Lines

        return Lines(None if to == "-" else Path(to))
    if to.endswith(".parquet"):
        from engine.usage.export_parquet import Parquet

        return Parquet(Path(to))
    raise UsageFault(
        f"nothing is known of how to export to {to!r}",
        "write a file .jsonl or .parquet, - for stdout, or a URL such as sqlite:///usage.db",
    )


def missing(package: str, error: ImportError) -> UsageFault:
    """A library that an extra brings is not here."""
    return UsageFault(
        f"this export needs the package {package}, which is not installed ({error.name})",
        "pip install 'llm-runner-router[export]'",
    )


class Beside:
    """A file that is written beside its place, and takes it when all is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")

    def done(self, good: bool) -> None:
        if good:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)


# --- reading --------------------------------------------------------------------------------------------


def _where(span: Span) -> tuple[str, list[int]]:
    tests = [("at_ms >= ?", span.since_ms), ("at_ms < ?", span.until_ms)]
    given = [(test, value) for test, value in tests if value is not None]
    return " AND ".join(test for test, _ in given) or "1", [value for _, value in given]


def _count(db: sqlite3.Connection, span: Span) -> int:
    where, values = _where(span)
    (count,) = db.execute(f"SELECT COUNT(*) FROM calls WHERE {where}", values).fetchone()  # noqa: S608 - own names
    return int(count)


def _batches(db: sqlite3.Connection, span: Span) -> Iterator[list[Row]]:
    where, values = _where(span)
    rows = db.execute(f"SELECT {', '.join(STORED)} FROM usage WHERE {where} ORDER BY at_ms", values)  # noqa: S608
    while batch := rows.fetchmany(BATCH):
        yield [_row(dict(zip(STORED, row, strict=True))) for row in batch]


def _row(stored: Row) -> Row:
    """A stored row as it is exported: without the store's shorthands."""
    stored["began_at"] = datetime.fromtimestamp(stored["at_ms"] / 1000, UTC)
    stored["budgets"] = json.loads(stored["budgets"] or "[]")
    stored["tags"] = json.loads(stored["tags"] or "{}")
    return {name: _value(stored[name], kind) for name, kind in COLUMNS.items()}


def _value(value: Any, kind: Kind) -> Any:
    if kind == "flag":
        return bool(value)
    return None if value == "" else value
