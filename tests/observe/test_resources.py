"""Open files and memory against their limits, as the system tells them."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from engine.observe.resources import Memory, file_limit, files_share, open_files

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@linux
def test_open_files_are_counted() -> None:
    before = open_files()
    pipes = [os.pipe() for _ in range(10)]
    after = open_files()
    for pipe in pipes:
        os.close(pipe[0])
        os.close(pipe[1])
    assert before is not None
    assert after == before + 20
    assert open_files() == before
    assert files_share() == pytest.approx(before / file_limit())


@linux
def test_memory_of_this_process() -> None:
    assert 0 < Memory().share() < 1


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_container_s_limit_of_version_2(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    group(
        tmp_path,
        "",
        memory__max="1000\n",
        memory__current="900\n",
        memory__stat="anon 1\ninactive_file 150\n",
    )
    assert Memory(tmp_path, own).share() == 0.75
    (tmp_path / "memory.max").write_text("800\n")
    assert Memory(tmp_path, own).share() == 750 / 800, "what is only cached can be given back"


def test_the_tightest_of_the_groups_around_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/slice/app\n")
    group(tmp_path, "slice/app", memory__max="max\n", memory__current="500\n")
    group(tmp_path, "slice", memory__max="1000\n", memory__current="990\n")
    group(tmp_path, "")  # the root has no limit
    assert Memory(tmp_path, own).share() == 0.99


def test_version_1_in_a_container_that_does_not_see_its_own_path(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:cpu,memory:/docker/abc\n0::/\n")
    group(
        tmp_path,
        "memory",
        memory__limit_in_bytes="1000\n",
        memory__usage_in_bytes="970\n",
        memory__stat="inactive_file 7\ntotal_inactive_file 70\n",
    )
    assert Memory(tmp_path, own).share() == 0.9
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert Memory(tmp_path, own).share() < 0.9, "no limit"


def test_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.observe.resources._FILES", tmp_path / "none")
    assert math.isnan(files_share())
