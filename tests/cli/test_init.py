"""`engine init`: the workspace it writes works as it is, and with its comments taken away."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from engine.cli.main import main
from engine.spec.settings import Settings


def test_the_workspace_compiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "ws")]) == 0
    assert main(["validate", str(tmp_path / "ws"), "--strict"]) == 0, capsys.readouterr().out


def test_the_commented_deployment_compiles_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    path = tmp_path / "routes" / "assistant.yaml"
    text = re.sub(r"(?m)^  assistant: here .*\n", "", path.read_text())
    text = re.sub(r"(?m)^  # (?!With)", "  ", text)
    path.write_text(text)
    assert "fallback: [gpt, here]" in text
    assert main(["validate", str(tmp_path)]) == 0, capsys.readouterr().out


def test_every_setting_in_a_comment_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    path = tmp_path / "engine.yaml"
    path.write_text(re.sub(r"(?m)^# (?=\w+: )", "", path.read_text()))
    assert re.findall(r"(?m)^\w+(?=:)", path.read_text()) == [
        "listen", "state", "body_limit", "drain", "heartbeat", "watch", "timezone",
    ]  # fmt: skip
    assert main(["validate", str(tmp_path)]) == 0, capsys.readouterr().out


def test_what_a_comment_shows_is_the_default(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    defaults = Settings()
    shown = yaml.safe_load(re.sub(r"(?m)^# (?=\w+: )", "", (tmp_path / "engine.yaml").read_text()))
    del shown["timezone"]  # has none, as it says
    assert {name: getattr(Settings(**{name: value}), name) for name, value in shown.items()} == {
        name: getattr(defaults, name) for name in shown
    }


def test_editors_find_the_schemas(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    named = [
        (path.parent / schema).resolve()
        for path in tmp_path.rglob("*.yaml")
        for schema in re.findall(r"\$schema=(\S+)", path.read_text())
    ]
    assert len(named) == 2
    assert [p for p in named if not p.is_file()] == []


def test_git_ignores_what_a_running_engine_writes(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert ".engine/" in (tmp_path / ".gitignore").read_text().splitlines()


def test_a_gitignore_of_the_users_own_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"
    assert "should name .engine/" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["engine.yaml", "routes/mine.yaml", "routes/mine.yml"])
def test_nothing_is_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert name in capsys.readouterr().out
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_json_names_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--format", "json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert {"engine.yaml", "routes/assistant.yaml", ".gitignore"} <= set(first["written"])
    assert all((tmp_path / name).is_file() for name in first["written"])
    assert main(["init", str(tmp_path), "--format", "json"]) == 1
    again = json.loads(capsys.readouterr().out)
    assert again == {
        "workspace": str(tmp_path),
        "written": [],
        "exists": ["engine.yaml", "routes/assistant.yaml"],
    }


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_text("")
    assert main(["init", str(tmp_path / "x")]) == 2
    assert "is a file" in capsys.readouterr().err
