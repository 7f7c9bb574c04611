"""What the README shows is run: its Python, its smallest file, its picture, its links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.compiler.pipeline import compile_workspace

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

ROUTES = """
deployments:
  here: {{provider: onnx, model: canned, path: {path}}}
routes:
  assistant: here
"""


def block(language: str, marker: str = "") -> str:
    """The first fenced block of that language that holds `marker`."""
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if marker in text)


def test_the_python_runs(tmp_path: Path, canned_model: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(ROUTES.format(path=canned_model))
    done = subprocess.run(
        [sys.executable, "-c", block("python")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Hello from the tiny test model.") == 2
    assert "here" in done.stdout


def test_the_smallest_file_compiles(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(block("yaml", "deployments:"))
    plan, diagnostics = compile_workspace(tmp_path)
    assert plan is not None, diagnostics
    assert plan.deployment("gpt").provider == "openai"


def test_the_picture_is_the_default_route() -> None:
    drawn = subprocess.run(
        [sys.executable, "-m", "engine", "graph", str(ROOT)], capture_output=True, text=True, check=True
    )
    assert block("mermaid").strip() == drawn.stdout.strip()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
