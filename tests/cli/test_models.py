"""`engine models`: what it prints and exits with, over a store in a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import main


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the right shape: the store reads names, sizes and bytes, not weights."""
    path = tmp_path / "tiny"
    path.mkdir()
    config = {"model": {"type": "llama", "context_length": 128, "decoder": {"filename": "model.onnx"}}}
    (path / "genai_config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).write_text("{}")
    (path / "model.onnx").write_bytes(b"onnx")
    return path


def _json(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict:
    assert main(["models", *argv, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_an_empty_store_lists_what_can_be_fetched(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    listed = _json(capsys, "list")
    assert listed["root"] == str(root)
    assert {m["name"]: m["state"] for m in listed["models"]} == {"smollm2-135m-instruct": "not fetched"}


def test_a_folder_is_added_shown_and_removed(
    capsys: pytest.CaptureFixture[str], folder: Path, root: Path
) -> None:
    added = _json(capsys, "add", str(folder), "--name", "mine")
    assert (added["name"], added["state"], added["context"]) == ("mine", "ready", 128)
    assert (root / "mine" / "model.onnx").read_bytes() == b"onnx"
    assert _json(capsys, "show", "mine") == added
    assert [m["name"] for m in _json(capsys, "list")["models"]] == ["mine", "smollm2-135m-instruct"]
    assert _json(capsys, "remove", "mine")["freed"] == added["size"]
    assert not (root / "mine").exists()


def test_text_names_the_model_and_how_to_use_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["models", "add", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("tiny is ready (")
    assert "{provider: onnx, model: tiny}" in captured.err
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["tiny", "ready"]


def test_a_damaged_model_is_a_finding(capsys: pytest.CaptureFixture[str], folder: Path, root: Path) -> None:
    assert main(["models", "add", str(folder)]) == 0
    (root / "tiny" / "model.onnx").write_bytes(b"onn")
    capsys.readouterr()
    shown = _json(capsys, "show", "tiny", code=1)
    assert (shown["state"], shown["problem"]["code"]) == ("damaged", "truncated")
    assert main(["models", "show", "tiny"]) == 1
    assert "help:" in capsys.readouterr().out


def test_a_folder_without_a_manifest_is_listed_as_damaged(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    (root / "half").mkdir(parents=True)
    states = {m["name"]: m["state"] for m in _json(capsys, "list")["models"]}
    assert states["half"] == "damaged"


def test_a_model_not_fetched_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert _json(capsys, "show", "smollm2-135m-instruct", code=1)["state"] == "not fetched"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["show", "nobody"], "there is no model 'nobody'"),
        (["remove", "nobody"], "there is no model 'nobody'"),
        (["add", "./nowhere"], "neither a model of the catalogue nor a folder or file"),
        (["add", "smollm2-135m-instruct", "--name", "x"], "keeps the name it has in the catalogue"),
        (["convert", "nowhere.gguf"], "is not a file"),
        (["convert", __file__], "is not a GGUF file"),
        (["lst"], "did you mean 'list'?"),
        ([], "required: ACTION"),
    ],
)
def test_what_cannot_be_done_exits_2_and_says_why(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
