"""`engine chat`: one conversation, through the plan, without a server."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main

ROUTES = """
deployments:
  tiny: {{provider: onnx, model: canned, path: "{path}"}}
routes:
  assistant: {{start: tiny, admit: {{output: 64}}}}
"""
SAID = "Hello from the tiny test model."


@pytest.fixture
def root(canned_model: Path, tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "r.yaml").write_text(ROUTES.format(path=canned_model))
    return tmp_path


def chat(capsys: pytest.CaptureFixture[str], root: Path, *args: str) -> tuple[int, str, str]:
    code = main(["chat", "-w", str(root), *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_prompt(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = chat(capsys, root, "hi")
    assert (code, out) == (0, f"{SAID}\n")


def test_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = chat(capsys, root, "-m", "assistant", "hi", "--format", "json")
    assert code == 0
    assert json.loads(out)["text"] == SAID


def test_a_conversation(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\nand again\n\nnever read\n"))
    code, out, _ = chat(capsys, root)
    assert (code, out) == (0, f"{SAID}\n{SAID}\n")


def test_a_conversation_outlives_a_fault(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n"))
    code, out, err = chat(capsys, root, "--max-tokens", "99999")
    assert (code, out) == (0, "")
    assert "max_tokens is 99999" in err


def test_a_model_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = chat(capsys, root, "-m", "assitant", "hi")
    assert code == 2
    assert "did you mean 'assistant'?" in err


def test_which_model(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "routes" / "more.yaml").write_text("routes: {other: tiny}")
    code, _, err = chat(capsys, root, "hi")
    assert code == 2
    assert "assistant, other" in err
    assert "-m MODEL" in err


def test_a_workspace_that_does_not_compile(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "routes" / "more.yaml").write_text("routes: {other: nobody}")
    code, _, err = chat(capsys, root, "hi")
    assert code == 1
    assert "nobody" in err


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal here")
def test_ctrl_c_stops_an_answer_and_not_the_conversation(root: Path, tmp_path: Path) -> None:
    """The model would count for a while; stopped, the next line is read."""
    tinymodel = sys.modules["tinymodel"]  # of the fixture canned_model
    words = tuple(f" {number}" for number in range(1_500))
    counting = tinymodel.build_canned(tmp_path / "counting", words=words)
    routes = ROUTES.format(path=counting).replace("output: 64", "output: 1900")
    (root / "routes" / "r.yaml").write_text(routes)
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "chat", "-w", str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("hi\n")
    process.stdin.flush()
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate("\n", timeout=50)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert " 1499" not in out
    assert out.endswith("\n")
