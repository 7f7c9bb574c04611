"""The last good plan over restarts: served loudly where the files are broken, refused where unsound."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from running import CHAT, HELLO, ROUTES, write_workspace
from serving import refused, serve

from engine.control import last_good as last_good_module
from engine.control.compile_child import compile_here
from engine.control.compiled import CompileFault
from engine.control.last_good import LastGood, write

BROKEN = ROUTES + "  oops: nobody\n"
FIXED = {"model": "fixed", "messages": HELLO}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_workspace(tmp_path / "ws", 9)


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_STATE_DIR", str(tmp_path / "state"))


async def test_a_restart_with_broken_files_serves_the_last_good_plan(folder: Path, tmp_path: Path) -> None:
    routes = folder / "routes" / "main.yaml"
    async with httpx.AsyncClient(timeout=30) as client:
        async with serve(folder, "--no-watch") as served:
            good = served.hello["revision"]
        assert len(list((tmp_path / "state" / "last-good").iterdir())) == 1
        routes.write_text(BROKEN)
        async with serve(folder) as served:
            assert served.hello["revision"] == good
            told = (await client.get(f"{served.url}/admin/status")).json()
            assert told["last_good"] is True
            error = next(d for d in told["rejected"]["diagnostics"] if d["severity"] == "error")
            assert (error["file"], error["line"]) == ("routes/main.yaml", 11)
            metrics = (await client.get(f"{served.url}/metrics")).text
            assert "engine_plan_last_good 1.0" in metrics
            assert "engine_plan_rejected 1.0" in metrics
            answer = (await client.post(served.url + CHAT, json=FIXED)).json()
            assert answer["choices"][0]["message"]["content"] == "A fixed text."
            routes.write_text(ROUTES.replace("A fixed text.", "Mended."))
            told = await served.until(lambda told: told["rejected"] is None, client)
            assert (told["last_good"], told["revision"] == good) == (False, False)
            answer = (await client.post(served.url + CHAT, json=FIXED)).json()
            assert answer["choices"][0]["message"]["content"] == "Mended."
            served.process.terminate()
            code, errors = await served.ended()
    assert code == 0
    assert "serving the last good plan" in errors
    assert "routes/main.yaml:11" in errors
    assert '"event":"serving_last_good"' in errors.replace(": ", ":")
    # What was mended is the last good one now.
    kept = LastGood.of(folder, None)
    assert kept is not None
    found = kept.load()
    assert found is not None
    assert found.plan is not None
    assert found.plan.revision == told["revision"]


async def test_it_can_be_refused(folder: Path) -> None:
    async with serve(folder, "--no-watch"):
        pass
    (folder / "routes" / "main.yaml").write_text(BROKEN)
    code, errors = await refused(folder, "--no-last-good")
    assert code == 1
    assert "routes/main.yaml:11" in errors


def kept(folder: Path) -> LastGood:
    """The workspace's plan, kept as the child keeps it."""
    place = LastGood.of(folder, None)
    assert place is not None
    assert write(place.next, compile_here(folder).frames()) is None
    place.commit()
    return place


def test_it_is_of_one_workspace_and_environment(folder: Path, tmp_path: Path) -> None:
    place = kept(folder)
    assert place.path.stat().st_mode & 0o777 == 0o600
    assert place.load() == compile_here(folder)
    (tmp_path / "link").symlink_to(folder)
    same, other = LastGood.of(tmp_path / "link", None), LastGood.of(folder, "prod")
    assert same is not None
    assert other is not None
    assert same.path == place.path
    assert other.load() is None


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "another version"])
def test_what_is_not_sound_is_not_served(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kept(folder)
    data = bytearray(place.path.read_bytes())
    if how == "changed":
        data[len(data) // 2] ^= 1
    elif how == "another version":
        monkeypatch.setattr("engine.control.compiled.FORMAT", 99)
    place.path.write_bytes({"cut": data[:-100], "empty": b""}.get(how, bytes(data)))
    with pytest.raises(CompileFault):
        place.load()


def test_a_folder_that_others_write_to_is_not_used(folder: Path) -> None:
    place = kept(folder)
    place.path.parent.chmod(0o777)
    with pytest.raises(CompileFault, match="somebody else"):
        place.load()
    assert "somebody else" in str(write(place.next, [b""]))


async def test_an_unsound_one_is_told_and_the_start_refused(folder: Path) -> None:
    place = kept(folder)
    place.path.write_bytes(place.path.read_bytes()[:-1])
    (folder / "routes" / "main.yaml").write_text(BROKEN)
    code, errors = await refused(folder)
    assert code == 1
    assert "the last good plan cannot be used" in errors


def test_without_a_home_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(last_good_module, "user_state", homeless)
    assert LastGood.of(folder, None) is None
