"""The compiling process compiles what stands still: a file that is being saved is empty for a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import ROUTES, write_workspace

from engine.control import compile_child, fingerprint
from engine.control.compiled import Compiled


@pytest.fixture
def after_reading(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens to the files after each compile, one after the other."""
    steps: list[Callable[[], object]] = []
    compile_once = compile_child._compile

    def compile_and_go_on(*args: Any, **named: Any) -> Any:
        done = compile_once(*args, **named)
        if steps:
            steps.pop(0)()
        return done

    monkeypatch.setattr(compile_child, "_compile", compile_and_go_on)
    return steps


def emptied(file: Path) -> Callable[[], object]:
    text = file.read_text()
    file.write_text("")
    return lambda: file.write_text(text)


def moved_away(file: Path) -> Callable[[], object]:
    away = file.rename(file.with_name("main.yaml~"))
    return lambda: away.rename(file)


def halved(file: Path) -> Callable[[], object]:
    """Cut between two routes: the first half is a good file too."""
    text = file.read_text()
    file.write_text(text[: text.index("  both:")])
    return lambda: file.write_text(text)


@pytest.mark.parametrize("how", [emptied, moved_away, halved])
def test_half_a_save_is_not_taken(
    how: Callable[[Path], Callable[[], object]], tmp_path: Path, after_reading: list[Callable[[], object]]
) -> None:
    folder = write_workspace(tmp_path / "ws", 9)
    whole = compile_child.compile_here(folder)
    after_reading.append(how(folder / "routes" / "main.yaml"))
    told = compile_child.compile_still(folder, None)
    assert told == whole
    assert Compiled.load(b"".join(told.frames())).content == fingerprint.content(folder)
    assert not after_reading


def test_files_that_never_stand_still_are_told(
    tmp_path: Path, after_reading: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_workspace(tmp_path / "ws", 9)
    after_reading += [
        lambda n=number: (folder / "routes" / "main.yaml").write_text(f"{ROUTES}# {n}\n")
        for number in range(99)
    ]
    monkeypatch.setattr(compile_child, "PATIENCE_S", 0.3)
    told = compile_child.compile_still(folder, None)
    assert told.plan is None
    assert [(found["code"], found["severity"]) for found in told.diagnostics] == [("E504", "error")]
