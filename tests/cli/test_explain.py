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
  third: {provider: keyed, model: large}
  fourth: {provider: queried, model: large}
  here: {provider: onnx, model: smollm2-135m-instruct}
routes:
  assistant: {start: {fallback: [first, second]}}
  other: second
  foreign: {start: {fallback: [third, fourth]}, timeout: {first_token: 2s}}
  home: {start: here, params: {temperature: 0.5}}
"""
PROVIDER = """
{dialect: openai_chat, auth: none, base_url: "http://127.0.0.1:9", residency: on_prem, price: free,
 models: {large: {}}}
"""
KEYED = """
{dialect: openai_chat, auth: {bearer: "env:EXPLAIN_KEY"}, base_url: "https://keyed.example/v1",
 residency: us, price: free, drop: [seed], headers: {x-team: red}, models: {large: {id: large-2}}}
"""
QUERIED = """
{dialect: openai_chat, auth: {query: {name: api key, secret: "env:EXPLAIN_KEY"}},
 base_url: "https://queried.example/v1", residency: us, price: free, models: {large: {}}}
"""
BODY = {"model": "assistant", "messages": [{"role": "user", "content": "a secret prompt"}]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "r.yaml").write_text(ROUTES)
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "providers.d" / "acme.yaml").write_text(PROVIDER)
    (tmp_path / "providers.d" / "keyed.yaml").write_text(KEYED)
    (tmp_path / "providers.d" / "queried.yaml").write_text(QUERIED)
    monkeypatch.setenv("EXPLAIN_KEY", "sk-never-shown")
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
    assert "1. first: POST http://127.0.0.1:9/chat/completions (openai_chat, the client's own body)" in out
    assert '"content": "a secret prompt"' in out


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
    assert [each["deployment"] for each in told["requests"]] == ["first", "first"]
    assert "secret" not in json.dumps(told["record"])


@pytest.mark.parametrize("stream", [False, True])
def test_what_would_be_sent(root: Path, capsys: pytest.CaptureFixture[str], stream: bool) -> None:
    """Each attempt its own, as the upstreams would send it: streamed, because `first_token` is written."""
    body = BODY | {"model": "foreign", "seed": 7, "vendors_own": 1} | ({"stream": True} if stream else {})
    (root / "request.json").write_text(json.dumps(body))
    code, out, _ = explain(capsys, "request.json", "--format", "json", "--fail", "third=auth")
    assert code == 0
    assert "sk-never-shown" not in out
    first, second = json.loads(out)["requests"]
    flowing = {"stream": True, "stream_options": {"include_usage": True}}
    assert (first["attempt"], first["deployment"]) == (1, "third")
    assert (first["method"], first["url"]) == ("POST", "https://keyed.example/v1/chat/completions")
    assert first["headers"]["authorization"] == "***"
    assert first["headers"]["x-team"] == "red"
    assert first["headers"]["accept"] == "text/event-stream"
    messages = BODY["messages"]
    assert first["body"] == {"model": "large-2", "messages": messages, "vendors_own": 1, **flowing}
    assert (first["dropped"], first["passthrough"]) == (["seed"], True)
    assert (second["attempt"], second["deployment"]) == (2, "fourth")
    assert second["url"] == "https://queried.example/v1/chat/completions?api%20key=***"
    assert "authorization" not in second["headers"]
    assert second["body"] == {
        "model": "large", "messages": messages, "seed": 7, "vendors_own": 1, **flowing
    }  # fmt: skip


def test_a_canonical_request_is_written_anew(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [{"type": "text", "text": "hi"}]
    body = {"model": "other", "messages": [{"role": "user", "content": parts}], "max_tokens": 9, "top_k": 3}
    (root / "request.json").write_text(json.dumps(body))
    code, out, _ = explain(capsys, "request.json", "--format", "json")
    assert code == 0
    (sent,) = json.loads(out)["requests"]
    assert sent["passthrough"] is False
    assert sent["body"]["messages"] == [{"role": "user", "content": "hi"}]
    assert sent["body"]["max_completion_tokens"] == 9


def test_what_a_local_model_would_be_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = BODY | {"model": "home", "max_tokens": 9, "user": "u"}
    (root / "request.json").write_text(json.dumps(body))
    code, out, _ = explain(capsys, "request.json", "--format", "json")
    assert code == 0
    (sent,) = json.loads(out)["requests"]
    assert sent == {
        "attempt": 1,
        "deployment": "here",
        "local": {
            "model": "smollm2-135m-instruct",
            "messages": [{"role": "user", "parts": ["text"]}],
            "max_tokens": 9,
            "temperature": 0.5,
        },
        "dropped": ["user"],
    }
    assert explain(capsys, "request.json")[1].count("to the local model's worker") == 1


def test_what_would_be_refused_before_it_is_sent(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "request.json").write_text(json.dumps(BODY | {"model": "home", "logit_bias": {"1": 1}}))
    code, out, _ = explain(capsys, "request.json")
    assert code == 0
    assert "1. here: nothing is sent: local models do not support logit_bias" in out


@pytest.mark.usefixtures("root")
def test_what_is_sent_again_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["request.json", "--fail", "first=server", "--fail", "first=server", "--fail", "first=ok"]
    code, out, _ = explain(capsys, *args)
    assert code == 0
    assert "2. first: the same as 1" in out
    assert out.count("a secret prompt") == 2  # first's, and second's after it


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


LIMITED = """
limits:
  per-key: {per: key.id, requests: 100/min, tokens: 20k/min}
  few: {concurrent: 4, on_exceed: {use: second}}
  vendor: {requests: 10/min}
routes:
  limited: {limits: [per-key, few], admit: {output: 100}, start: fourth_here}
deployments:
  fourth_here: {provider: acme, model: large, limits: [vendor]}
"""


@pytest.mark.parametrize(
    ("used", "served", "lines"),
    [
        ("vendor=50%", "fourth_here", ["  per-key: 1 requests held", "  few: 1 places held"]),
        ("few=100%", "second", ["  few: no places counted"]),
        ("vendor=100%", None, ["Nobody was called."]),
        ("per-key=100%", None, ["  per-key: no requests counted"]),
    ],
)
def test_a_limited_request(
    root: Path, capsys: pytest.CaptureFixture[str], used: str, served: str | None, lines: list[str]
) -> None:
    (root / "routes" / "limited.yaml").write_text(LIMITED)
    args = ("request.json", "--route", "limited", "--used", used)
    code, out, _ = explain(capsys, *args)
    assert code == 0
    assert set(lines) <= set(out.splitlines()), out
    told = json.loads(explain(capsys, *args, "--format", "json")[1])
    assert told["record"]["served_by"] == served
    assert {each["name"] for each in told["limits"]} == {"per-key", "few"}


def test_a_limit_that_is_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "routes" / "limited.yaml").write_text(LIMITED)
    code, _, err = explain(capsys, "request.json", "--used", "fow=100%")
    assert (code, "there is no budget and no limit 'fow'" in err, "did you mean" in err) == (2, True, True)
