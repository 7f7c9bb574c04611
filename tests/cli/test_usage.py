"""`engine usage`: what it prints, as text and JSON, and what it says where it cannot."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "usage"))

from recorded import attempt, record

from engine.cli.main import main
from engine.plan.money import Budget, Window
from engine.plan.values import Expr
from engine.runtime.record import moment
from engine.state.ledger import Ask
from engine.state.ledger_accounts import budget_account
from engine.state.sqlite_ledger import SqliteLedger
from engine.usage.store import UsageStore
from engine.wire.pricing import Cost


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One that keeps usage: a dear request, a cheap one, a failed one without a price; and an old one."""
    (tmp_path / "engine.yaml").write_text(
        "state: memory\ntimezone: Europe/Berlin\nusage: {file: kept/u.db}\n"
    )
    store = UsageStore(tmp_path / "kept" / "u.db")
    dear = record(
        "a", 0.0, attempt(1, cost=Cost(output=1_234_560_000_000)), key_name="bot", tags={"team": "red"}
    )
    cheap = record(
        "b", 0.0, attempt(1, cost=Cost(input=1_500)), attempt(2, "j", role="judge", estimated=True)
    )
    failed = record(
        "c", 0.0, attempt(1, failure="server", cost=Cost(known=False)), failure="server", route="code"
    )
    for each in (dear, cheap, failed):
        each.at = moment(time.time() - 60)
    store.write([dear, cheap, failed, record("old", -400 * 86_400)])
    store.close()
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> tuple[str, str]:
    assert main(["usage", *argv]) == code, capsys.readouterr().err
    return capsys.readouterr()


def test_text(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    out, err = told(capsys, str(workspace), "--by", "route,team")
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "ROUTE TEAM REQUESTS FAILED CACHE CALLS INPUT CACHED OUTPUT COST ESTIMATED",
        "chat red 1 0 0 1 30 0 4 $1,234.56 -",
        "chat - 1 0 0 2 60 0 8 $0.000001507 0%",
        "code - 1 1 0 1 30 0 4 $0.00+ -",
        "total 3 1 0 4 120 0 16 $1,234.56+ 0%",
        "+ 1 calls had no known price: the cost is more than this",
    ]
    assert "since " in err


def test_json(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    out, _ = told(capsys, str(workspace), "--by", "key,role", "--since", "2020-01-01", "--format", "json")
    found = json.loads(out)
    assert found["by"] == ["key", "role"]
    assert [(row["key"], row["role"], row["requests"], row["cost_nanos"]) for row in found["rows"]] == [
        ("bot", "answer", 1, 1_234_560_000_000),
        ("", "answer", 3, 1_507 - 7 + 7),
        ("", "judge", 0, 7),
    ]
    assert (found["total"]["requests"], found["total"]["unpriced"]) == (4, 1)
    assert found["files"] == [str(workspace / "kept" / "u.db")]


def test_other_files(capsys: pytest.CaptureFixture[str], workspace: Path, tmp_path: Path) -> None:
    other = UsageStore(tmp_path / "other.db")
    other.write([record("z", 0.0)])
    other.close()
    files = ["--from", str(tmp_path / "other.db"), "--from", str(workspace / "kept" / "u.db")]
    out, _ = told(capsys, *files, "--since", "2020-01-01", "--by", "deployment", "--format", "json")
    assert json.loads(out)["total"]["requests"] == 5


def test_export(capsys: pytest.CaptureFixture[str], workspace: Path, tmp_path: Path) -> None:
    to = tmp_path / "x.jsonl"
    out, err = told(capsys, "export", str(workspace), "--to", str(to), "--since", "1d")
    assert len(to.read_text().splitlines()) == 4
    assert (out, "4 calls exported" in err) == ("", True)
    out, _ = told(capsys, "export", str(workspace), "--to", str(to), "--format", "json")
    assert json.loads(out) == {"to": str(to), "calls": 5}


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["WS", "--by", "taem"], "did you mean team?"),
        (["WS", "--by", "route,"], "--by names nothing"),
        (["WS", "--since", "yesterday"], "is no time"),
        (["WS", "--since", "3x"], "is not a duration"),
        (["WS", "--since", "1d", "--until", "2d"], "--since is not before --until"),
        (["WS", "more"], "one argument too many"),
        (["WS", "--to", "x.jsonl"], "are for `engine usage export`"),
        (["export", "WS"], "--to says where to"),
        (["export", "WS", "--to", "x.csv"], "nothing is known of how to export"),
        (["export", "WS", "--to", "x.jsonl", "--by", "key"], "--by is for `engine usage`"),
        (["/nowhere"], "there is no workspace"),
        (["--from", "/nowhere/u.db"], "there is no usage store"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], workspace: Path, argv: list[str], why: str) -> None:
    _, err = told(capsys, *(str(workspace) if word == "WS" else word for word in argv), code=2)
    assert why in err


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("usage: off", "engine.yaml says `usage: off`"),
        ("state: memory", "engine.yaml says `state: memory`"),
        ("usage: {file: x.db}", "no request was kept in"),
        ("usage: on", "does not say where"),
        ("usage: {keep: 90d, sums: 1d}", "`sums` is shorter than `keep`"),
    ],
)
def test_workspaces_without_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: str, why: str
) -> None:
    (tmp_path / "engine.yaml").write_text(settings)
    _, err = told(capsys, str(tmp_path), code=2)
    assert why in err


def test_budgets_stand_below(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    """As another process left them: one partition is nearly used up, one has lost a call."""
    (workspace / "engine.yaml").write_text("timezone: UTC\nstate: sqlite:s.db\nusage: {file: kept/u.db}\n")
    out, _ = told(capsys, str(workspace), "--format", "json")
    assert json.loads(out)["budgets"] == []  # nothing was counted yet, and no file is made
    assert not (workspace / "s.db").exists()
    now = int(time.time() * 1000)
    budget = Budget("teams", "cost", 100 * 10**9, Window("month"), per=Expr("x", "", "", None))
    ledger = SqliteLedger(workspace / "s.db")
    for team, dollars in (("red", 90), ("blue", 2)):
        account = budget_account(budget, team, now, UTC)
        ledger.reserve(team, [Ask(account, dollars * 10**9)], now)
        ledger.settle(team, [dollars * 10**9], now)
    ledger.reserve("open", [Ask(budget_account(budget, "blue", now, UTC), 10**9)], now)
    out, _ = told(capsys, str(workspace))
    ledger.close_now()
    rows = [line.split() for line in out.split("\n\n")[1].splitlines()]
    assert rows[0] == ["BUDGET", "PARTITION", "WINDOW", "USED", "SPENT", "HELD", "LEFT", "LIMIT", "RESETS"]
    assert [row[:2] + row[3:8] for row in rows[1:3]] == [
        ["teams", "red", "90%", "$90.00", "$0.00", "$10.00", "$100.00"],
        ["teams", "blue", "3%", "$2.00", "$1.00", "$97.00", "$100.00"],
    ]


def test_a_state_store_that_cannot_be_read(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    (workspace / "engine.yaml").write_text("state: sqlite:s.db\nusage: {file: kept/u.db}\n")
    (workspace / "s.db").write_text("no database " * 500)
    out, err = told(capsys, str(workspace))
    assert "total" in out
    assert "how budgets stand cannot be read" in err
