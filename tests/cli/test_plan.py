"""`engine plan` and `engine graph`: views, files, comparisons, exit codes."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from datetime import UTC
from pathlib import Path

import pytest

from engine.cli import graph as graph_command
from engine.cli import main as cli
from engine.plan.plan import Plan
from engine.state.ledger import Ask
from engine.state.ledger_accounts import budget_account
from engine.state.open import open_ledger

WORKSPACES = Path(__file__).parent.parent / "compiler" / "workspaces"
GOOD = WORKSPACES / "good"
BROKEN = str(WORKSPACES / "broken" / "unknown_deployment")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*argv: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in argv])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_for_people(run) -> None:
    code, out, _ = run("plan", GOOD / "shared_node")
    assert code == 0
    assert "route fast  takes fast" in out
    assert "worst case: 6 calls, 31.2s" in out
    code, out, _ = run("plan", GOOD / "shared_node", "--route", "slow")
    assert "route slow" in out
    assert "route fast" not in out


def test_an_unknown_route_is_a_wrong_call(run) -> None:
    code, _, err = run("plan", GOOD / "shared_node", "--route", "slwo")
    assert code == 2
    assert "slow" in err


def test_json_is_the_plan_itself(run, tmp_path: Path) -> None:
    code, first, _ = run("plan", GOOD / "every_kind", "--format", "json", "--out", tmp_path / "plan.json")
    assert code == 0
    assert run("plan", GOOD / "every_kind", "--format", "json")[1] == first
    plan = Plan.load(first.encode())
    assert json.loads(first)["revision"] == plan.revision
    assert (tmp_path / "plan.json").read_text() == first


def test_a_workspace_that_does_not_compile(run) -> None:
    code, out, err = run("plan", BROKEN)
    assert (code, out) == (1, "")
    assert "E210" in err
    assert run("plan", BROKEN, "--against", GOOD / "smallest")[0] == 2
    assert run("plan", GOOD / "smallest", "--against", BROKEN)[0] == 2


def test_effective_says_where_each_value_stands(run) -> None:
    code, out, _ = run("plan", GOOD / "overlay", "--env", "prod", "--effective", "--format", "json")
    assert code == 0
    rows = {row["path"]: (row["value"], row["at"]) for row in json.loads(out)}
    assert rows["deployments.gpt.region"] == ("us", "envs/prod/main.yaml:3:17")
    assert rows["deployments.gpt.model"] == ("gpt-5-mini", "routes/main.yaml:3:34")
    assert rows["routes.chat.start"] == ("here", "routes/main.yaml:6:9")
    assert "defaults.params.seed" not in rows
    text = run("plan", GOOD / "overlay", "--env", "prod", "--effective")[1]
    assert 'deployments.gpt.region: "us"' in text
    assert "# envs/prod/main.yaml:3:17" in text


def test_against_itself_nothing_changes(run, tmp_path: Path) -> None:
    shutil.copytree(GOOD / "every_kind", tmp_path / "copy")
    assert run("plan", tmp_path / "copy", "--against", GOOD / "every_kind")[:2] == (0, "no difference\n")
    run("plan", GOOD / "every_kind", "--out", tmp_path / "plan.json")
    assert run("plan", GOOD / "every_kind", "--against", tmp_path / "plan.json")[0] == 0


def test_against_tells_what_changes_for_whom(run, tmp_path: Path) -> None:
    shutil.copytree(GOOD / "shared_node", tmp_path / "new")
    main = tmp_path / "new" / "routes" / "main.yaml"
    main.write_text(
        main.read_text().replace("connect: 1s", "connect: 2s").replace("region: eu", "region: us")
    )
    code, out, _ = run("plan", tmp_path / "new", "--against", GOOD / "shared_node")
    assert code == 1
    assert "route fast: changed" in out
    assert "~ start.children[0].call.connect_ms: 1s -> 2s" in out
    assert "deployment gpt: changed" in out
    assert "~ residency: eu -> us" in out
    assert "deployment here" not in out
    code, out, _ = run("plan", tmp_path / "new", "--against", GOOD / "shared_node", "--format", "json")
    assert code == 1
    assert {d["name"] for d in json.loads(out)["differences"]} == {"fast", "slow", "gpt"}


def test_a_file_that_is_no_plan(run, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    code, _, err = run("plan", GOOD / "smallest", "--against", tmp_path / "plan.json")
    assert code == 2
    assert "not a plan" in err


# --- graph


def test_mermaid_and_dot(run, tmp_path: Path) -> None:
    code, out, _ = run("graph", GOOD / "every_kind")
    assert code == 0
    assert out.startswith("flowchart LR\n")
    assert "when request.input_tokens #gt; 6k" in out
    assert out.count("subgraph") == 2
    assert run("graph", GOOD / "every_kind", "-o", tmp_path / "g.mmd")[:2] == (0, "")
    assert (tmp_path / "g.mmd").read_text() == out
    assert run("graph", GOOD / "every_kind", "--route", "others", "-o", tmp_path / "g.dot")[0] == 0
    dot = (tmp_path / "g.dot").read_text()
    assert dot.startswith("digraph plan {")
    assert dot.count("{") == dot.count("}")
    assert "assistant" not in dot.replace("others", "").partition("cluster")[0]


def test_svg_needs_graphviz_and_says_so(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_command.shutil, "which", lambda _: None)
    code, _, err = run("graph", GOOD / "smallest", "-o", tmp_path / "g.svg")
    assert code == 2
    assert "Graphviz" in err
    assert not (tmp_path / "g.svg").exists()


def test_an_ending_that_means_nothing(run, tmp_path: Path) -> None:
    code, _, err = run("graph", GOOD / "smallest", "-o", tmp_path / "g.png")
    assert code == 2
    assert ".mmd" in err


def test_text_of_users_cannot_break_out(run, tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "a.yaml").write_text(
        "routes:\n  chat: {start: {respond: '\"] --> x; <script>` #1'}}\n"
    )
    out = run("graph", tmp_path)[1]
    assert "<script>" not in out
    assert '"] --> x' not in out
    run("graph", tmp_path, "-o", tmp_path / "g.dot")
    assert '\\"] --> x' in (tmp_path / "g.dot").read_text()


BUDGETED = """\
deployments: {{a: {{provider: onnx, model: smollm2-135m-instruct}}}}
routes: {{r: {{start: a, budgets: [{name}]}}}}
keys: {{tags: {{team: {{}}}}}}
budgets:
  {name}: {{limit: {limit}, window: {window}, per: key.tags.team{more}}}
"""


def budgeted(folder: Path, **said: str) -> Path:
    said = {"name": "month", "limit": "$500", "window": "month", "more": "", **said}
    (folder / "routes").mkdir(parents=True, exist_ok=True)
    (folder / "routes" / "r.yaml").write_text(BUDGETED.format(**said))
    (folder / "engine.yaml").write_text("timezone: UTC\nstate: sqlite:state.db\n")
    return folder


async def _spend(folder: Path, plan: Plan, team: str, dollars: int) -> None:
    ledger = await open_ledger("sqlite:state.db", folder)
    now = int(time.time() * 1000)
    account = budget_account(plan.money().budgets["month"], team, now, UTC)
    for answer in (ledger.reserve(team, [Ask(account, 0)], now), ledger.settle(team, [dollars * 10**9], now)):
        assert answer is None
    await ledger.close()


def test_against_tells_what_becomes_of_budgets(run, tmp_path: Path) -> None:
    """With what they have counted, where that is in a file; and a changed budget is a difference."""
    old = budgeted(tmp_path / "old")
    run("plan", old, "--out", tmp_path / "old.json")
    plan = Plan.load((tmp_path / "old.json").read_bytes())
    new = budgeted(tmp_path / "new", limit="$400")
    code, out, _ = run("plan", new, "--against", tmp_path / "old.json")
    assert (code, out.splitlines()[:2]) == (1, ["budget month: changed", "  ~ limit: $500 -> $400"])
    assert out.endswith("counts of budgets: 1 survive\n")
    assert not (new / "state.db").exists()
    asyncio.run(_spend(new, plan, "support", 42))
    asyncio.run(_spend(new, plan, "sales", 10))
    kept = "  month: 2 teams keep $52.00, of $400 each; support $42.00 (it was of $500)\n"
    assert run("plan", new, "--against", tmp_path / "old.json")[1].endswith(f"1 survive\n{kept}")
    budgeted(new, window="week")
    code, out, _ = run("plan", new, "--against", tmp_path / "old.json", "--format", "json")
    assert code == 1
    assert json.loads(out)["state"]["budgets"] == {
        "survive": 0,
        "resets": ["month (window month -> week)"],
        "amounts": ["month: $52.00 of 2 teams no longer counts (window month -> week)"],
    }
