"""`--key` of explain and chat: as whom a request is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.keys.hashing import PUBLIC, digest, shown

ROUTES = f"""
routes:
  one:
    start:
      switch: [{{when: 'key.tags.team == "support"', respond: Hi support.}}]
      else: {{respond: Hi.}}
  two: {{start: {{respond: Two.}}}}
keys:
  orgs: [acme]
  tags: {{team: [support, sales]}}
  clients:
    gitty: {{hash: "{shown(digest(b"x", PUBLIC))}", tags: {{team: support}}}}
groups:
  ci: {{when: 'key.org == "acme"', models: [one]}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(ROUTES)
    (tmp_path / "engine.yaml").write_text("state: sqlite:.engine/state.db\n")
    for model in ("one", "two"):
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        (tmp_path / f"{model}.json").write_text(json.dumps(body))
    return tmp_path


def explain(folder: Path, capsys: pytest.CaptureFixture[str], model: str, *keys: str) -> tuple[int, str, str]:
    words = [word for key in keys for word in ("--key", key)]
    code = main(["explain", str(folder / f"{model}.json"), "-w", str(folder), *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("model", "keys", "says"),
    [
        ("one", ["gitty"], ["client key gitty (team=support)", "switch[0]"]),
        ("one", ["gitty", "team=sales"], ["client key gitty (team=sales)", "else"]),
        ("one", ["team=support"], ["client key made-up (team=support)", "switch[0]"]),
        ("two", ["org=acme"], ["groups: ci.", "HTTP 404", "Models: one"]),
        ("two", ["group=ci"], ["groups: ci.", "HTTP 404"]),
        ("two", [], ["Route two"]),
    ],
)
def test_as_whom(
    folder: Path, capsys: pytest.CaptureFixture[str], model: str, keys: list[str], says: list[str]
) -> None:
    _, out, err = explain(folder, capsys, model, *keys)
    for each in says:
        assert each in out, err


def test_a_client_of_the_state_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["keys", "new", "bot", "--org", "acme", "--tag", "team=support", "-w", str(folder)]
    assert main(made) == 0
    capsys.readouterr()
    code, out, _ = explain(folder, capsys, "one", "bot")
    assert code == 0
    assert "client key bot (org acme, team=support); groups: ci." in out
    words = ["chat", "-w", str(folder), "--key", "bot", "hello"]
    assert main(words) == 0  # it may ask for one model, which is taken
    assert capsys.readouterr().out == "Hi support.\n"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["gity"], "did you mean 'gitty'"),
        (["gitty", "other"], "two clients"),
        (["org=acm"], "did you mean 'acme'"),
        (["tema=support"], "did you mean 'team'"),
        (["team=suport"], "did you mean 'support'"),
        (["group=cj"], "no such group"),
    ],
)
def test_what_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], keys: list[str], says: str
) -> None:
    code, out, err = explain(folder, capsys, "one", *keys)
    assert (code, out) == (2, "")
    assert says in err
