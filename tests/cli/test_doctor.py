"""`engine doctor`: what it finds on machines in several conditions."""

from __future__ import annotations

import json
import os
import socket
from importlib import metadata
from pathlib import Path

import pytest

from engine.cli import machine
from engine.cli.main import main


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def _by_name(check, workspace: Path) -> dict[str, machine.Finding]:
    return {finding.name: finding for finding in check(workspace)}


def test_this_machine_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", str(tmp_path), "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["healthy"] else 1)
    assert {"engine", "parts", "local", "sidecar"} <= {f["area"] for f in report["findings"]}
    found = {f["name"]: f for f in report["findings"]}
    assert found["pydantic"]["detail"] == metadata.version("pydantic")
    assert set(found["python"]) == {"area", "name", "state", "detail", "help"}


def test_text_has_a_line_for_each_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", str(tmp_path)])
    out = capsys.readouterr().out
    assert all(finding.name in out for finding in machine.examine(tmp_path))


def test_secrets_are_named_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "a.yaml").write_text(
        "credentials:\n  x: {secret: env:DEMO_SET}\n  y: {secret: 'env:DEMO_UNSET'} # env:DEMO_REMARK\n"
        "  # z: {secret: env:DEMO_COMMENT}\n"
    )
    monkeypatch.setenv("DEMO_SET", "hunter2")
    monkeypatch.delenv("DEMO_UNSET", raising=False)
    found = _by_name(machine.check_secrets, tmp_path)
    assert (found["DEMO_SET"].state, found["DEMO_SET"].detail) == ("ok", "set (routes/a.yaml)")
    assert found["DEMO_UNSET"].detail == "not set (routes/a.yaml)"
    assert not {"DEMO_REMARK", "DEMO_COMMENT"} & set(found)
    main(["doctor", str(tmp_path)])
    assert "hunter2" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "state", "told"),
    [
        ("", "ok", ".engine/state.db, made when it is needed"),
        ("state: memory\n", "ok", "memory: "),
        ("state: sqlite:here.db\n", "ok", "here.db"),
        ("state: sqlite:/proc/no/state.db\n", "warning", "/proc/no/state.db cannot be written"),
        ("state: redis://127.0.0.1:1/0\n", "ok", "redis://127.0.0.1:1/0 (not asked"),
        ("state: rediss://127.0.0.1:1/0\n", "error", "needs the package redis"),
        ("state: postgres://a\n", "warning", "engine.yaml does not say"),
    ],
)
def test_the_state_store_is_the_workspaces(
    settings: str, state: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engine.yaml").write_text(settings)
    (tmp_path / "here.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/proc"))
    monkeypatch.setattr(machine, "_version", lambda name: None if "rediss" in settings else "1")
    found = _by_name(machine.check_state, tmp_path)["state"]
    assert (found.state, told in found.detail) == (state, True), found
    assert (found.help is None) is (state == "ok")


def test_a_port_in_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy, socket.socket() as free:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        free.bind(("127.0.0.1", 0))
        ports = {"listen": busy.getsockname()[1], "admin": free.getsockname()[1]}
        free.close()
        monkeypatch.setattr(machine, "PORTS", ports)
        found = _by_name(machine.check_ports, tmp_path)
    assert found[f"port {ports['listen']}"].detail == "in use (listen)"
    assert found[f"port {ports['admin']}"].detail == "free (admin)"


@pytest.mark.parametrize(
    ("variants", "state"),
    [
        ((), "note"),
        (("onnxruntime-genai",), "ok"),
        (("onnxruntime-genai", "onnxruntime-genai-cuda"), "error"),
    ],
)
def test_genai_variants_exclude_each_other(
    variants: tuple[str, ...], state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "installed_variants", lambda: variants)
    found = _by_name(machine.check_genai, tmp_path)
    assert found["onnxruntime-genai"].state == state
    assert ("runs on cpu" in found) is (state == "ok")
    if state == "error":
        assert all(name in found["onnxruntime-genai"].help for name in variants)


def test_an_execution_provider_that_cannot_work_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "installed_variants", lambda: ("onnxruntime-genai",))
    found = _by_name(machine.check_genai, tmp_path)
    assert found["runs on cpu"].detail == "yes"
    assert found["runs on cuda"].detail.startswith("no: ")


def test_models_are_checked(tmp_path: Path, models: Path) -> None:
    assert (
        _by_name(machine.check_models, tmp_path)["models"].help == "engine models add smollm2-135m-instruct"
    )
    (models / "half").mkdir(parents=True)
    found = _by_name(machine.check_models, tmp_path)
    assert found["model half"].state == "warning"
    assert "models" not in found


def test_a_missing_part_is_an_error_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        machine, "_version", lambda name: None if name in {"aiohttp", "gguf"} else metadata.version(name)
    )
    found = _by_name(machine.check_parts, tmp_path)
    assert found["aiohttp"].state == "error"
    assert (found["gguf"].state, found["gguf"].help) == ("note", 'pip install "llm-runner-router[local]"')
