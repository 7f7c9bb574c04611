"""Secrets that are missing as a sidecar starts are told in its log, by name and never by value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import PROVIDER, ROUTES, write_workspace

from engine.control.compile_child import compile_here
from engine.observe.log import Log
from engine.server.sidecar import tell_missing


async def test_a_start_tells_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_workspace(tmp_path, 9, routes=ROUTES)
    keyed = PROVIDER.replace("auth: none", "auth: {{bearer: env:TEST_NOT_SET}}")
    (folder / "providers.d" / "fake.yaml").write_text(keyed.format(port=9))
    plan = compile_here(folder).plan
    assert plan is not None
    monkeypatch.delenv("TEST_NOT_SET", raising=False)
    await tell_missing(plan, Log.from_environment())
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["level"]) == ("secret_missing", "warning")
    assert line["what"] == "the environment variable TEST_NOT_SET is not set; needed by `near`"
    monkeypatch.setenv("TEST_NOT_SET", "sk-it-is")
    await tell_missing(plan, Log.from_environment())
    assert capsys.readouterr().err == ""
