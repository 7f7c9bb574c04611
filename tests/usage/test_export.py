"""Exports, read back by those who know the formats: pyarrow, SQLAlchemy, sqlite3, and DuckDB for all."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import sqlalchemy
from pyarrow import parquet
from recorded import START, attempt, record

from engine.runtime.record import BudgetUse
from engine.usage import export_sql
from engine.usage.export import COLUMNS, export
from engine.usage.store import UsageStore
from engine.usage.sums import Span, UsageFault

AT = int(START * 1000)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    UsageStore(tmp_path / "u.db").close()
    return tmp_path / "u.db"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 requests, a second apart, each of a failed call and a good one; and one without calls."""
    path = tmp_path_factory.mktemp("usage") / "u.db"
    store = UsageStore(path)
    made = [
        record(
            f"r{number}",
            float(number),
            attempt(1, "far", failure="connect", usage={}),
            attempt(2, estimated=number % 2 == 0, budgets=[BudgetUse("day", f"u{number % 3}", 50, 7)]),
            key="k1",
            tags={"team": "süd", "tier": "gold"} if number % 2 else {},
        )
        for number in range(1_200)
    ]
    made.append(record("none", 1_200.0, failure="full", status=503))
    made[-1].attempts = []
    store.write(made)
    store.close()
    return path


def asked_of_duckdb(query: str) -> list[tuple]:
    with duckdb.connect() as db:
        return db.execute(query).fetchall()


def sums(told: str) -> tuple:
    """What DuckDB says of an export."""
    asked = "count(*), sum(requests), sum(cost_nanos), count(distinct id), sum(estimated::int)"
    return asked_of_duckdb(f"SELECT {asked} FROM {told}")[0]


WANTED = (2_401, 1_201, 16_800, 1_201, 600)


def test_json_lines(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    assert export([store], str(to), Span()) == 2_401
    lines = [json.loads(line) for line in to.read_text().splitlines()]
    assert list(lines[0]) == list(COLUMNS)
    assert (lines[3]["id"], lines[3]["began_at"], lines[3]["tags"], lines[3]["org"], lines[3]["stream"]) == (
        "r1", "2026-12-01T10:00:01+00:00", {"team": "süd", "tier": "gold"}, None, False,
    )  # fmt: skip
    assert lines[3]["budgets"] == [{"name": "day", "partition": "u1", "reserved": 50, "settled": 7}]
    assert sums(f"read_json('{to}')") == WANTED


def test_parquet(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "x.parquet"
    assert export([store], str(to), Span()) == 2_401
    table = parquet.read_table(to)
    row = table.slice(3, 1).to_pylist()[0]
    assert (row["began_at"], row["tags"]) == (
        datetime(2026, 12, 1, 10, 0, 1, tzinfo=UTC), [("team", "süd"), ("tier", "gold")],
    )  # fmt: skip
    assert sums(f"read_parquet('{to}')") == WANTED
    teams = duckdb.sql(
        f"SELECT tags['team'], count(*) FROM read_parquet('{to}') GROUP BY 1 ORDER BY 2"
    ).fetchall()
    assert sorted(teams, key=str) == [("süd", 1_200), (None, 1_201)]


def test_a_database_has_each_call_once_however_often_it_is_exported(store: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'out.db'}"
    half = Span(None, AT + 600_000)
    assert export([store], url, half) == 1_200
    assert export([store], url, Span(AT + 300_000)) == 1_801
    assert export([store], url, Span()) == 2_401
    db = sqlite3.connect(tmp_path / "out.db")
    found = db.execute(
        "SELECT count(*), sum(requests), sum(cost_nanos), count(distinct id), sum(estimated) "
        "FROM engine_usage"
    ).fetchone()
    db.close()
    assert found == WANTED
    engine = sqlalchemy.create_engine(url)
    table = export_sql.table()
    with engine.connect() as connection:
        row = connection.execute(table.select().where(table.c.id == "r1", table.c.attempt == 2)).one()
    engine.dispose()
    assert (row.began_at, row.tags, row.stream, row.budgets[0]["settled"]) == (
        datetime(2026, 12, 1, 10, 0, 1), {"team": "süd", "tier": "gold"}, False, 7,
    )  # fmt: skip


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mssql", "oracle"])
def test_the_table_is_one_in_every_database(dialect: str) -> None:
    """As SQLAlchemy writes it for them: no column lacks a length, none has a name that is not quoted."""
    made = sqlalchemy.create_mock_engine(f"{dialect}://", lambda *_: None).dialect
    text = str(sqlalchemy.schema.CreateTable(export_sql.table()).compile(dialect=made))
    assert "PRIMARY KEY (id, attempt)" in text


def test_a_time(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    assert export([store, store], str(to), Span(AT + 1_000, AT + 3_000)) == 4
    assert [json.loads(line)["id"] for line in to.read_text().splitlines()] == ["r1", "r1", "r2", "r2"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_a_file_is_whole_or_the_old_one(store: Path, tmp_path: Path, name: str) -> None:
    to = tmp_path / name
    to.write_text("old")

    def breaks(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export([store], str(to), Span(), progress=breaks)
    assert to.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir() if "part" in path.name) == []


@pytest.mark.parametrize(
    ("to", "password", "why"),
    [
        ("x.csv", None, "nothing is known"),
        ("nosuch://x", None, "SQLAlchemy knows no database"),
        ("postgresql://u:canary-1@host/db", None, "a password stands in"),
        ("postgresql://host/db?password=canary-1", None, "a password stands in"),
        ("postgresql://u@host:canary-1/db", None, "does not read"),
        ("postgresql+psycopg2://u@host/db", None, "psycopg2, is not installed"),
        ("sqlite:////nowhere/at/all.db", None, "unable to open"),
        ("sqlite:///x.db", "canary-1", "says where the password is read"),
        ("sqlite://host/x.db", None, "no URL of sqlite"),
        ("sqlite:///x.db", "env:NOT_SET", "NOT_SET is not set"),
        ("/nowhere/x.jsonl", None, "cannot be written"),
        ("/nowhere/x.parquet", None, "cannot be written"),
        ("x.jsonl", "env:X", "a file has none"),
    ],
)
def test_what_cannot_be_exported_to(empty: Path, to: str, password: str | None, why: str) -> None:
    with pytest.raises(UsageFault, match=why) as fault:
        export([empty], to, Span(), password)
    assert "canary-1" not in f"{fault.value} {fault.value.help}"


def test_a_password_is_shown_nowhere() -> None:
    """What a driver says may quote it."""
    target = export_sql.Database("sqlite://", None)
    target._secret = "canary-1"

    def fails() -> None:
        raise sqlalchemy.exc.OperationalError("", {}, Exception("no entry for canary-1 at all"))

    with pytest.raises(UsageFault) as fault:
        target._do(fails)
    assert "no entry for *** at all" in str(fault.value)
    assert "canary-1" not in repr(fault.value)


@pytest.mark.parametrize("package", ["pyarrow", "sqlalchemy"])
def test_an_extra_that_is_not_installed_is_named(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    import sys

    modules = {"pyarrow": "engine.usage.export_parquet", "sqlalchemy": "engine.usage.export_sql"}
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, modules[package])
    to = str(tmp_path / "x.parquet") if package == "pyarrow" else "sqlite:///x.db"
    with pytest.raises(UsageFault, match="not installed") as fault:
        export([empty], to, Span())
    assert fault.value.help == "pip install 'llm-runner-router[export]'"
