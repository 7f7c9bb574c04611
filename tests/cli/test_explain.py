"""`engine explain`: a code's page, or one request offline."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main

ROUTES = """
deployments:
  first: {provider: acme, model: large}
  second: {provider: acme, model: large}
routes:
  assistant: {start: {fallback: [first, second]}}
  other: second
"""
PROVIDER = """
{dialect: openai_chat, auth: none, base_url: "http://127.0.0.1:9", residency: on_prem, price: free,
 models: {large: {}}}
"""
BODY = {"model": "assistant", "messages": [{"role": "user", "content": "a secret prompt"}]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "r.yaml").write_text(ROUTES)
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "providers.d" / "acme.yaml").write_text(PROVIDER)
    (tmp_path / "request.json").write_text(json.dumps(BODY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explain(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["explain", *args])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.usefixtures("root")
def test_a_request(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = explain(capsys, "request.json", "--fail", "first=overloaded")
    assert (code, err) == (0, "")
    assert "overloaded after 0 ms" in out
    assert "Outcome: second answers" in out
    assert "secret" not in out


@pytest.mark.usefixtures("root")
def test_a_request_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = explain(
        capsys, "request.json", "--format", "json", "--fail", "first=server", "--fail", "first=ok"
    )
    told: dict[str, Any] = json.loads(out)
    assert code == 0
    assert told["calls"] == ["first", "first"]
    assert told["record"]["served_by"] == "first"
    assert told["record"]["route"] == "assistant"
    assert told["error"] is None
    assert "secret" not in out


@pytest.mark.usefixtures("root")
def test_everybody_fails(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["request.json", "--format", "json", "--fail", "first=auth", "--fail", "second=auth"]
    code, out, _ = explain(capsys, *args)
    assert code == 0
    assert json.loads(out)["error"]["code"] == "upstream_auth"


@pytest.mark.usefixtures("root")
def test_another_route_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = explain(
        capsys, "request.json", "--route", "other", "--at", "2026-12-01T10:00", "--format", "json"
    )
    assert code == 0
    told = json.loads(out)
    assert told["record"]["route"] == "other"
    assert told["record"]["at"].startswith("2026-12-01T10:00:00")


@pytest.mark.usefixtures("root")
def test_from_stdin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(BODY)))
    assert explain(capsys, "-")[0] == 0


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["missing.json"], "missing.json"),
        (["request.json", "--fail", "first"], "write DEPLOYMENT=CLASS"),
        (["request.json", "--fail", "frist=server"], "did you mean 'first'?"),
        (["request.json", "--fail", "first=sever"], "did you mean 'server'?"),
        (["request.json", "--route", "othr"], "did you mean 'other'?"),
        (["request.json", "--at", "noon"], "2026-12-01T10:00"),
        (["list.json"], "no JSON object"),
        (["wrong.json"], "messages"),
        (["E9999"], "E9999"),
    ],
)
def test_called_wrong(root: Path, capsys: pytest.CaptureFixture[str], args: list[str], told: str) -> None:
    (root / "list.json").write_text("[]")
    (root / "wrong.json").write_text('{"model": "assistant", "messages": "hi"}')
    code, out, err = explain(capsys, *args)
    assert (code, out) == (2, "")
    assert told in err


@pytest.mark.usefixtures("root")
def test_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = explain(capsys, "E090")
    assert code == 0
    assert "E090" in out
    code, out, _ = explain(capsys, "e090", "--format", "json")
    assert json.loads(out)["code"] == "E090"


def test_a_workspace_that_does_not_compile(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "routes" / "r.yaml").write_text("routes: {assistant: nobody}")
    code, out, err = explain(capsys, "request.json")
    assert (code, out) == (1, "")
    assert "nobody" in err
