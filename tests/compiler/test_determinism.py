"""One workspace, one revision: over runs, machines, the order of files and keys, and comments."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.compiler.pipeline import compile_folder

WORKSPACES = Path(__file__).parent / "workspaces" / "good"


def revision(root: Path) -> str:
    done = compile_folder(root)
    assert done.plan is not None, [str(d) for d in done.diagnostics]
    return done.plan.revision


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(4))
def test_order_of_files_and_keys_and_comments_change_nothing(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    root = WORKSPACES / "every_kind"
    shutil.copy(root / "engine.yaml", tmp_path)
    # YAML 1.2 as PyYAML's safe loader reads it: nothing in this file differs between the two.
    whole = yaml.safe_load((root / "routes" / "main.yaml").read_text())
    entries = [(section, name, value) for section, names in whole.items() for name, value in names.items()]
    rng.shuffle(entries)
    parts: list[dict[str, Any]] = [{}, {}, {}]
    for section, name, value in entries:
        rng.choice(parts).setdefault(section, {})[name] = shuffled(value, rng)
    (tmp_path / "routes").mkdir()
    for number, part in enumerate(parts):
        text = f"# part {rng.random()}\n" + yaml.safe_dump(shuffled(part, rng), sort_keys=False)
        (tmp_path / "routes" / f"{rng.random()}-{number}.yaml").write_text(text)
    assert revision(tmp_path) == revision(root)


def test_a_real_change_is_another_revision(tmp_path: Path) -> None:
    shutil.copytree(WORKSPACES / "every_kind", tmp_path / "ws")
    before = revision(tmp_path / "ws")
    main = tmp_path / "ws" / "routes" / "main.yaml"
    main.write_text(main.read_text().replace("weight: 3", "weight: 4"))
    assert revision(tmp_path / "ws") != before


def test_what_no_route_uses_is_not_in_the_plan(tmp_path: Path) -> None:
    shutil.copytree(WORKSPACES / "every_kind", tmp_path / "ws")
    before = revision(tmp_path / "ws")
    (tmp_path / "ws" / "routes" / "more.yaml").write_text(
        "deployments:\n  spare: {provider: ollama, model: x}\n"
    )
    assert revision(tmp_path / "ws") == before


def test_the_same_bytes_from_any_process(tmp_path: Path) -> None:
    outputs = set()
    for seed in ("1", "2"):
        root = tmp_path / seed / "ws"
        shutil.copytree(WORKSPACES / "every_kind", root)
        done = subprocess.run(
            [sys.executable, "-m", "engine", "plan", str(root), "--format", "json"],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"Etc/GMT+{seed}"},
            capture_output=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1


def compile_seconds(root: Path, routes: int) -> float:
    (root / "routes").mkdir(parents=True)
    head = "deployments:\n  here: {provider: onnx, model: smollm2-135m-instruct}\nroutes:\n"
    lines = [f"  r{i}: {{match: {{when: request.input_tokens > {i}}}, start: here}}\n" for i in range(routes)]
    (root / "routes" / "main.yaml").write_text(head + "".join(lines))
    begun = time.process_time()
    revision(root)
    return time.process_time() - begun


@pytest.mark.slow
def test_time_grows_with_the_number_of_routes_and_not_its_square(tmp_path: Path) -> None:
    compile_seconds(tmp_path / "warm", 10)
    few, many = compile_seconds(tmp_path / "few", 400), compile_seconds(tmp_path / "many", 3200)
    assert many < 8 * few * 3  # the square would be 64 times
