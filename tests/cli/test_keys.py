"""`engine keys`: what it makes, shows, keeps and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.cli.main import main
from engine.compiler.pipeline import compile_folder
from engine.keys.form import well_formed
from engine.keys.hashing import PUBLIC, digest, shown

ROUTES = """\
routes:
  one: {start: {respond: Hi.}, match: {models: [one, "gpt*"]}}
keys:
  orgs: [acme]
  tags: {team: {values: [support, sales], required: true}}
groups:
  ci: {models: [one]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(ROUTES)
    (tmp_path / "engine.yaml").write_text("state: sqlite:.engine/state.db\n")
    return tmp_path


class Keys:
    """The command on one workspace."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = main(["keys", *words, "-w", str(self.folder)])
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *words: str) -> Any:
        code, out, err = self(*words, "--format", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def keys(folder: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    return Keys(folder, capsys)


GOOD = ["--org", "acme", "--tag", "team=support"]


def test_a_key_is_shown_once_and_its_hash_is_kept(keys: Keys) -> None:
    code, out, err = keys("new", "bot", *GOOD, "--group", "ci", "--expires", "90d")
    key = out.strip()
    assert code == 0
    assert well_formed(key)
    assert key not in err
    listed = keys.json("list")["keys"]
    assert [(each["name"], each["state"], each["kept"]) for each in listed] == [("bot", "good", "store")]
    assert listed[0]["said"] == {"org": "acme", "tags": {"team": "support"}, "groups": ["ci"]}
    secret = key.removeprefix("engk_")
    for path in (keys.folder / ".engine").iterdir():
        assert secret.encode() not in path.read_bytes()
        assert secret[:8].encode() not in path.read_bytes()


def test_yaml_for_git_goes_to_stdout_and_the_key_to_stderr(keys: Keys) -> None:
    code, out, err = keys("new", "bot", *GOOD, "--print", "--models", "one,gpt-4*", "--ip", "10.0.0.0/8")
    key = err.strip().splitlines()[-1]
    assert code == 0
    assert well_formed(key)
    assert yaml.safe_load(out)["keys"]["clients"]["bot"]["hash"] == shown(digest(key.encode(), PUBLIC))
    assert not (keys.folder / ".engine").exists()
    (keys.folder / "routes" / "keys.yaml").write_text(out)
    done = compile_folder(keys.folder)
    assert done.plan is not None, [str(each) for each in done.diagnostics]
    assert done.plan.people().clients[0].ips == ("10.0.0.0/8",)
    assert keys.json("list")["keys"][0]["kept"] == "git"
    for words in (["new", "bot", *GOOD], ["revoke", "bot"], ["rotate", "bot"]):
        assert keys(*words)[0] == 2


def test_a_rotation_overlaps(keys: Keys) -> None:
    first = keys.json("new", "bot", *GOOD)
    second = keys.json("rotate", "bot", "--overlap", "10m")
    assert second["key"] != first["key"]
    assert second["id"] == first["id"]
    listed = keys.json("list")["keys"]
    assert [each["state"] for each in listed] == ["good", "good"]
    assert sorted(each["expires"] is None for each in listed) == [False, True]
    third = keys.json("rotate", first["id"], "--overlap", "0s")
    assert third["id"] == first["id"]
    assert sorted(each["state"] for each in keys.json("list")["keys"]) == ["expired", "expired", "good"]


def test_a_revoked_client_may_be_made_anew(keys: Keys) -> None:
    keys.json("new", "bot", *GOOD)
    assert [each["name"] for each in keys.json("revoke", "bot")["revoked"]] == ["bot"]
    assert keys("revoke", "bot")[0] == 2
    assert keys.json("new", "bot", *GOOD)["name"] == "bot"


def test_a_workspace_that_does_not_compile_stops_nobody_from_revoking(keys: Keys) -> None:
    keys.json("new", "bot", *GOOD)
    (keys.folder / "routes" / "main.yaml").write_text("routes: {one: nobody}\n")
    assert keys("new", "other", *GOOD)[0] == 1
    assert keys("revoke", "bot")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["new", "bot", "--org", "acme"], "tag `team`"),
        (["new", "bot", *GOOD, "--org", "acm"], "did you mean `acme`"),
        (["new", "bot", "--tag", "team=suport"], "did you mean `support`"),
        (["new", "bot", *GOOD, "--tag", "colour=red"], "no tag `colour`"),
        (["new", "bot", *GOOD, "--tag", "team"], "NAME=VALUE"),
        (["new", "bot", *GOOD, "--tag", "team=sales"], "twice"),
        (["new", "bot", *GOOD, "--group", "cj"], "did you mean `ci`"),
        (["new", "bot", *GOOD, "--limit", "l"], "no limit `l`"),
        (["new", "bot", *GOOD, "--budget", "b"], "no budget `b`"),
        (["new", "bot", *GOOD, "--models", "two"], "no route takes"),
        (["new", "bot", *GOOD, "--expires", "2020-01-01"], "over already"),
        (["new", "bot", *GOOD, "--expires", "soon"], "no time"),
        (["new", "bot", *GOOD, "--ip", "10.0.0.1/8"], "no address"),
        (["new", "a bot", *GOOD], "no name"),
        (["revoke", "bot"], "nobody has a key"),
        (["rotate", "bot"], "nobody has a key"),
    ],
)
def test_what_is_refused_and_why(keys: Keys, words: list[str], says: str) -> None:
    code, out, err = keys(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert not (keys.folder / ".engine").exists()


def test_what_leads_elsewhere_is_not_brought_to_routes_that_do_not_know_it(keys: Keys) -> None:
    """A route has the branches of its own limits, and of those that no file attaches to anything."""
    (keys.folder / "routes" / "main.yaml").write_text(
        "routes:\n  one: {start: {respond: Hi.}, limits: [own]}\n  two: {start: {respond: Hi.}}\n"
        "nodes:\n  closed: {respond: Later.}\n  busy: {respond: Busy.}\nlimits:\n"
        "  own: {requests: 5/min, on_exceed: {use: closed}}\n"
        "  free: {requests: 5/min, on_exceed: {use: busy}}\n"
        "  plain: {requests: 5/min}\n"
    )
    code, out, err = keys("new", "bot", "--limit", "own")
    assert (code, out) == (2, "")
    assert "sends requests elsewhere" in err
    assert keys("new", "bot", "--limit", "own", "--print")[0] == 0
    assert keys.json("new", "bot", "--limit", "free", "--limit", "plain")["limits"] == ["free", "plain"]


def test_memory_keeps_no_keys(keys: Keys) -> None:
    (keys.folder / "engine.yaml").write_text("state: memory\n")
    code, _, err = keys("new", "bot", *GOOD)
    assert code == 2
    assert "--print" in err
    assert keys("new", "bot", *GOOD, "--print")[0] == 0


def test_an_empty_secret_makes_no_key(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS_SECRET", "changeme")
    (keys.folder / "engine.yaml").write_text("state: sqlite:.engine/state.db\nkeys_secret: env:KEYS_SECRET\n")
    code, out, err = keys("new", "bot", *GOOD)
    assert (code, out) == (2, "")
    assert "placeholder" in err
    assert "changeme" not in err


@pytest.mark.parametrize("state", ["memory", "sqlite:.engine/state.db"])
@pytest.mark.parametrize("word", ["revoke", "rotate"])
def test_a_key_of_git_is_changed_there(keys: Keys, word: str, state: str) -> None:
    (keys.folder / "engine.yaml").write_text(f"state: {state}\n")
    code, printed, _ = keys("new", "bot", *GOOD, "--print")
    assert code == 0
    (keys.folder / "routes" / "bot.yaml").write_text(printed)
    code, _, err = keys(word, "bot")
    assert code == 2
    assert "`bot` is kept in Git" in err
    assert "keys.clients.bot" in err


def test_a_typo_is_found_by_its_name(keys: Keys) -> None:
    keys.json("new", "bot", *GOOD)
    code, _, err = keys("revoke", "bott")
    assert code == 2
    assert "did you mean 'bot'" in err
