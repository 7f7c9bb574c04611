"""The house rules that a machine can keep: names of modules, direction of imports, what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import engine

ROOT = Path(engine.__file__).parent.parent
MODULES = sorted((ROOT / "engine").rglob("*.py"))

#: The public names, as `from engine import ...` gives them. A change here is a change of the contract.
PUBLIC = ["Diagnostic", "Engine", "Plan", "PlanError", "compile_workspace"]


def test_no_module_is_a_drawer() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "misc"}
    named = [p for p in MODULES if {part.strip("_") for part in (p.stem, p.parent.name)} & forbidden]
    assert named == []


def test_every_module_says_its_job() -> None:
    silent = [str(p.relative_to(ROOT)) for p in MODULES if not ast.get_docstring(ast.parse(p.read_bytes()))]
    assert silent == []


def test_imports_go_one_way() -> None:
    """The contracts stand in pyproject.toml under `tool.importlinter`."""
    code = "import sys, importlinter.cli as c; sys.exit(c.lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ["plan", "kinds", "policies"])
def test_what_runs_a_plan_is_standard_library(room: str) -> None:
    """A plan from a file runs in any Python, so nothing third-party may be needed to hold or walk one."""
    foreign = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted((ROOT / "engine" / room).rglob("*.py"))
        for name in _imported(path)
        if name.partition(".")[0] not in sys.stdlib_module_names | {"engine"}
    ]
    assert foreign == []


def _imported(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def test_the_public_surface_is_pinned() -> None:
    assert sorted(engine.__all__) == PUBLIC
    assert all(getattr(engine, name) for name in PUBLIC)
    assert set(PUBLIC) <= set(dir(engine))


def test_importing_engine_is_cheap() -> None:
    """The parts come with the first use: a script that only wants a type does not pay for the rest."""
    code = "import sys, engine; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in out.split()}
    heavy = {"pydantic", "jinja2", "aiohttp", "httpx", "onnxruntime", "onnxruntime_genai", "numpy"}
    assert not loaded & heavy
