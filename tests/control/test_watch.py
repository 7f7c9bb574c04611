"""Changes of a workspace: every way to save is seen, once, and what did not change is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.control import fingerprint
from engine.control.watch import SETTLE_S, changes
from engine.observe.log import Log

OLD, NEW = "routes: {a: gpt}\n", "routes: {b: gpt}\n"


def _in_place(file: Path) -> None:
    file.write_text(NEW)


def _renamed_over(file: Path) -> None:
    other = file.with_name(".main.yaml.swp")
    other.write_text(NEW)
    other.replace(file)


def _truncated_then_written(file: Path) -> None:
    with file.open("w") as handle:
        handle.flush()
        time.sleep(0.02)
        handle.write(NEW[:8])
        handle.flush()
        time.sleep(0.02)
        handle.write(NEW[8:])


def _moved_away_and_back(file: Path) -> None:
    file.rename(file.with_suffix(".bak"))
    file.write_text(NEW)


def _at_the_same_time(file: Path) -> None:
    before = file.stat()
    file.write_text(NEW)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _a_new_file(file: Path) -> None:
    (file.parent / "more.yaml").write_text(NEW)


def _a_new_folder(file: Path) -> None:
    folder = file.parent.parent / "policies"
    folder.mkdir()
    (folder / "p.yaml").write_text(NEW)


def _the_folder_is_another(file: Path) -> None:
    folder = file.parent
    folder.rename(folder.with_name("routes.bak"))
    folder.mkdir()
    (folder / "main.yaml").write_text(NEW)


def _gone(file: Path) -> None:
    file.unlink()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(OLD)
    return tmp_path


@contextlib.asynccontextmanager
async def watching(
    root: Path, poll_s: float = 60.0, settle_s: float = SETTLE_S
) -> AsyncIterator[asyncio.Queue[str]]:
    """What `changes` yields, in a queue; begins once events are listened to."""
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def watch() -> None:
        known, settle = [fingerprint.content(root)], lambda: settle_s
        async for digest in changes(root, lambda: known[0], Log("error"), poll_s=poll_s, settle_s=settle):
            known[0] = digest
            seen.put_nowait(digest)

    task = asyncio.create_task(watch())
    await asyncio.sleep(0.1)
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    "save",
    [
        _in_place,
        _renamed_over,
        _truncated_then_written,
        _moved_away_and_back,
        _at_the_same_time,
        _a_new_file,
        _a_new_folder,
        _the_folder_is_another,
        _gone,
    ],
)
async def test_a_save_is_seen_once(root: Path, save: Callable[[Path], None]) -> None:
    # A save in steps has to stand still for longer than a busy machine may pause between two of them.
    in_steps = save in (_truncated_then_written, _moved_away_and_back, _a_new_folder, _the_folder_is_another)
    settle_s = 0.3 if in_steps else 0.15
    async with watching(root, 0.3 if save is _a_new_folder else 60.0, settle_s) as seen:
        await asyncio.to_thread(save, root / "routes" / "main.yaml")
        digest = await asyncio.wait_for(seen.get(), 30)
        assert digest == fingerprint.content(root)
        await asyncio.sleep(settle_s + 0.15)
        assert seen.empty()


async def test_a_swapped_symlink_is_seen(tmp_path: Path) -> None:
    """As Kubernetes updates a ConfigMap: `..data` is replaced, the file that is read never is."""
    folder = tmp_path / "routes"
    for version, text in (("..1", OLD), ("..2", NEW)):
        (folder / version).mkdir(parents=True)
        (folder / version / "main.yaml").write_text(text)
    (folder / "..data").symlink_to("..1")
    (folder / "main.yaml").symlink_to("..data/main.yaml")
    async with watching(tmp_path) as seen:
        (folder / "..data_tmp").symlink_to("..2")
        (folder / "..data_tmp").replace(folder / "..data")
        assert await asyncio.wait_for(seen.get(), 30) == fingerprint.content(tmp_path)


async def test_what_does_not_change_is_not_told(root: Path) -> None:
    async with watching(root, poll_s=0.1) as seen:
        (root / "routes" / "main.yaml").write_text(OLD)
        (root / "routes" / ".main.yaml.swp").write_text("an editor's")
        (root / "routes" / "notes.txt").write_text("nobody reads it")
        (root / "README.md").write_text("nor this")
        await asyncio.sleep(0.5)
        assert seen.empty()


async def test_many_saves_are_few_changes(root: Path) -> None:
    async with watching(root) as seen:
        for number in range(100):
            (root / "routes" / "main.yaml").write_text(f"routes: {{r{number}: gpt}}\n")
            await asyncio.sleep(0.002)
        told = 0
        async with asyncio.timeout(30):
            while await seen.get() != fingerprint.content(root):
                told += 1
        assert told < 50


async def test_without_events_the_poll_sees(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint.folders(root)[:1]
    monkeypatch.setattr(fingerprint, "folders", lambda root: first)  # no events from routes/
    async with watching(root, poll_s=0.1) as seen:
        _in_place(root / "routes" / "main.yaml")
        await asyncio.wait_for(seen.get(), 30)


def test_the_digest_is_of_contents(root: Path) -> None:
    file = root / "routes" / "main.yaml"
    before = fingerprint.content(root)
    os.utime(file, (1, 1))
    assert fingerprint.content(root) == before
    _at_the_same_time(file)
    assert fingerprint.content(root) != before


async def test_a_folder_that_took_anothers_place_is_listened_to(root: Path) -> None:
    """And a workspace that was not there at first, or comes back."""
    async with watching(root, poll_s=0.1) as seen:
        for text in (OLD.replace("a:", "x:"), NEW):
            away = root.with_name(root.name + ".away")
            root.rename(away)
            await asyncio.wait_for(seen.get(), 30)
            away.rename(root)
            (root / "routes").rename(root / "routes.bak")
            (root / "routes").mkdir()
            (root / "routes" / "main.yaml").write_text(text)
            assert await asyncio.wait_for(seen.get(), 30)
            await asyncio.sleep(0.4)
            while not seen.empty():
                seen.get_nowait()
            for old in (root / "routes.bak").iterdir():
                old.unlink()
            (root / "routes.bak").rmdir()


async def test_the_debounce_is_asked_each_time(root: Path) -> None:
    asked: list[float] = []

    def debounce() -> float:
        asked.append(0.01)
        return 0.01

    known = fingerprint.content(root)
    seen = changes(root, lambda: known, Log("error"), poll_s=0.05, settle_s=debounce)
    waiting = asyncio.ensure_future(anext(seen))
    await asyncio.sleep(0.3)
    _in_place(root / "routes" / "main.yaml")
    assert await asyncio.wait_for(waiting, 30) != known
    assert asked
    await seen.aclose()


async def test_what_was_compiled_and_taken_back_meanwhile_is_told(root: Path) -> None:
    """Told of A, the compiler read B, and by the time it is done the files hold A again: nothing runs it."""
    file, compiled = root / "routes" / "main.yaml", [fingerprint.content(root)]
    seen = changes(root, lambda: compiled[0], Log("error"), poll_s=0.02, settle_s=lambda: 0.01)
    async with contextlib.aclosing(seen), asyncio.timeout(20):
        file.write_text(NEW)
        told = await anext(seen)
        file.write_text(OLD.replace("a:", "x:"))
        compiled[0] = fingerprint.content(root)
        file.write_text(NEW)
        assert await anext(seen) == told


def test_a_look_sees_what_times_do_not_show(root: Path) -> None:
    """The same size, the same times as far as they can be set: only the content tells."""
    file = root / "routes" / "main.yaml"
    before, stat = fingerprint.signature(root), file.stat()
    file.write_text(OLD.replace("gpt", "tpg"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint.signature(root)[-1] != before[-1]
