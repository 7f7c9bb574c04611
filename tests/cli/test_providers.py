"""`engine providers`: what it lists, shows and checks, with the workspace's own files too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main

ACME = """\
dialect: openai_chat
auth: {bearer: env:ACME_API_KEY}
regions:
  us: {base_url: https://api.acme.ai/v1, residency: us}
  eu: {base_url: https://eu.acme.ai/v1, residency: eu, price: +10%}
default_region: us
models:
  acme-large: {context: 128k, output: 8k, input_price: $2/M, output_price: $6/M, can: [tools], id: acme/large}
samples:
  - {name: its error, status: 402, error: {error: {message: x}}, gives: {failure: quota_exhausted}}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "providers.d").mkdir()
    (tmp_path / "providers.d" / "acme.yaml").write_text(ACME)
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    assert main(["providers", *argv, "--format", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_list(capsys: pytest.CaptureFixture[str], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "k")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    rows = {r["name"]: r for r in _json(capsys, "list", "--workspace", str(workspace))["providers"]}
    assert {"openai", "groq", "ollama", "vllm", "openai_compatible", "onnx", "acme"} <= set(rows)
    assert rows["acme"]["own"] is True
    assert (rows["acme"]["secret"], rows["acme"]["secret_set"]) == ("env:ACME_API_KEY", True)
    assert rows["openai"]["secret_set"] is False
    assert main(["providers", "list", "--workspace", str(workspace)]) == 0
    assert "env:ACME_API_KEY (set)" in capsys.readouterr().out


def test_show(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    shown = _json(capsys, "show", "acme", "--workspace", str(workspace))
    assert shown["regions"]["eu"] == {
        "base_url": "https://eu.acme.ai/v1", "residency": "eu", "price": 1.1, "default": False,
    }  # fmt: skip
    assert shown["models"]["acme-large"]["usd_per_million"]["output"] == 6
    assert shown["models"]["acme-large"]["id"] == "acme/large"
    assert main(["providers", "show", "acme", "--workspace", str(workspace)]) == 0
    assert "price x1.1" in capsys.readouterr().out


def test_show_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "show", "opnai"]) == 2
    assert "did you mean 'openai'" in capsys.readouterr().err


def test_check(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    checked = _json(capsys, "check", "--workspace", str(workspace))
    assert checked["failed"] == []
    assert checked["samples"] > 25
    path = workspace / "providers.d" / "acme.yaml"
    path.write_text(path.read_text().replace("quota_exhausted", "auth"))
    assert main(["providers", "check", "acme", "--workspace", str(workspace)]) == 1
    assert (
        "providers.d/acme.yaml:10: samples[0].gives.failure: its error: `failure` is"
        in capsys.readouterr().out
    )


def test_ledger(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    own = ("--workspace", str(workspace))
    found = _json(capsys, "ledger", "openai_chat", "anthropic_messages", *own)
    assert (found["request"]["seed"], found["request"]["stop"]) == ("dropped", "renamed")
    assert found["reply"]["id"] == found["stream"]["text"] == "kept"
    vendor = _json(capsys, "ledger", "openai_chat", "groq", *own)
    assert vendor["request"]["logit_bias"] == "dropped"
    assert main(["providers", "ledger", "anthropic_messages", "openai_chat", *own]) == 0
    assert "dropped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("openai_chatt", "groq"), "did you mean 'openai_chat'"),
        (("openai_chat", "grok7"), "there is no dialect or provider 'grok7'"),
        (("openai_chat", "onnx"), "takes no chats over HTTP"),
    ],
)
def test_a_ledger_of_nothing(
    capsys: pytest.CaptureFixture[str], names: tuple[str, str], message: str
) -> None:
    assert main(["providers", "ledger", *names]) == 2
    assert message in capsys.readouterr().err


def test_a_broken_file_is_told_and_the_rest_is_listed(
    capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    (workspace / "providers.d" / "bad.yaml").write_text(
        "dialect: openai_chatt\nbase_url: http://api.bad.ai/v1\n"
    )
    assert main(["providers", "list", "--workspace", str(workspace)]) == 1
    printed = capsys.readouterr()
    assert "providers.d/bad.yaml:2:11" in printed.err
    assert "E403" in printed.err
    assert "acme" in printed.out


def test_facts_of_a_model_everywhere(capsys: pytest.CaptureFixture[str], workspace: Path) -> None:
    (workspace / "providers.d" / "acme.yaml").write_text(ACME.replace("acme-large:", "gpt-oss-120b:"))
    told = _json(capsys, "facts", "gpt-oss-120b", "--workspace", str(workspace))
    rows = {row["provider"]: row for row in told["found"]}
    assert {"acme", "cerebras", "groq"} <= set(rows)
    assert rows["groq"]["model"] == "openai/gpt-oss-120b"
    assert rows["acme"]["id"] == "acme/large"
    assert rows["acme"]["prices"] == [{"input": 2, "output": 6, "source": None}]
    assert all("genai" in p["source"] or "litellm" in p["source"] for p in rows["groq"]["prices"])


def test_facts_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "facts", "deepseek-flash", "--provider", "deepseek"]) == 0
    told = capsys.readouterr().out
    assert "[01:00-04:00 on MTWTF, 06:00-10:00 on MTWTF]" in told
    assert "  source            genai-prices" not in told  # the price says it
    assert "(genai-prices" in told
    assert main(["providers", "facts", "claude-haiku-5-5", "--provider", "anthropic"]) == 0
    assert "above 100000 of input: input $0.5, output $2.5" in capsys.readouterr().out
    assert main(["providers", "facts", "mistral-large-4"]) == 0
    assert "differs           litellm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["gpt-5.44"], "no provider has a model 'gpt-5.44'; did you mean 'gpt-5.4'?"),
        (["gpt-5-mini", "--provider", "groq"], "it is at: azure, openai"),
        (
            ["gpt-5-minni", "--provider", "openai"],
            "openai has no model 'gpt-5-minni'; did you mean 'gpt-5-mini'?",
        ),
        (["gpt-5-mini", "--provider", "opnai"], "there is no provider 'opnai'; did you mean 'openai'?"),
    ],
)
def test_facts_of_nothing(capsys: pytest.CaptureFixture[str], argv: list[str], told: str) -> None:
    assert main(["providers", "facts", *argv]) == 2
    assert told in capsys.readouterr().err


def test_show_of_a_long_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "show", "openai"]) == 0
    assert "more: `--models PATTERN` narrows" in capsys.readouterr().err
    assert set(_json(capsys, "show", "openai", "--models", "gpt-5-mini*")["models"]) >= {"gpt-5-mini"}
    assert all(
        name.startswith("gpt-4o") for name in _json(capsys, "show", "openai", "--models", "gpt-4o*")["models"]
    )
