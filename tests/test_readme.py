"""What the README shows is run: its Python, its smallest file, its picture, its links."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.main import main
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


AROUND = """
deployments:
  gpt: {provider: openai, model: gpt-5-mini}
  here: {provider: onnx, model: smollm2-135m-instruct}
alerts: {ops: {log: warning}}
keys: {orgs: [acme], tags: {team: {required: true}}}
"""


def test_the_budgets_compile_and_the_key_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(AROUND + block("yaml", "budgets:"))
    (tmp_path / "engine.yaml").write_text("timezone: Europe/Berlin\n")
    plan, diagnostics = compile_workspace(tmp_path)
    assert plan is not None, diagnostics
    assert plan.route("assistant").budgets == ("support-month",)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"`engine (keys new|usage) ([^`]+)`", block_of("## Money, limits and keys"))
    assert [main([*command.split(), *rest.split()]) for command, rest in commands] == [0, 2]
    told = capsys.readouterr()
    assert "engk_" in told.out
    assert "no request was kept" in told.err  # nothing was served here yet


def block_of(title: str) -> str:
    """A section's text."""
    return README.split(title + "\n")[1].split("\n## ")[0]


def test_every_path_of_the_table_is_served(tmp_path: Path) -> None:
    """And every path that is served stands in it."""
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(block("yaml", "deployments:"))
    plan, diagnostics = compile_workspace(tmp_path)
    assert plan is not None, diagnostics
    table = README.split("| clients speak |")[1].split("\n\n")[0]
    told = set(re.findall(r"`(/[^`]+)`", table)) - {"/v1/models"}
    base = next(path.rpartition(":")[0] for path in told if ":" in path)
    told |= {base + verb for verb in re.findall(r"`(:[^`]+)`", table)}
    served = {path.replace("{model}", "MODEL") for path in plan.manifest.ingress}
    assert told <= served
    assert {path for path in served if not path.startswith("/v1/models/")} - told == {
        f"/v1beta/models/MODEL:{verb}" for verb in ("batchEmbedContents", "countTokens")
    }


def test_the_new_vendor_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "providers.d").mkdir()
    text = block("yaml", "# providers.d/acme.yaml")
    (tmp_path / "providers.d" / "acme.yaml").write_text(text)
    assert main(["providers", "check", "acme", "--workspace", str(tmp_path)]) == 0
    assert "1 samples, 0 failed" in capsys.readouterr().out


def test_there_are_as_many_vendors_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "list", "--workspace", str(ROOT), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["providers"]
    vendors = [row for row in rows if row["category"] in ("cloud", "aggregator") and row["operations"]]
    told = re.search(r"more than (\d+) vendors", README)
    assert told is not None
    assert len(vendors) >= int(told[1]) - 5  # some are servers of one's own
    assert len(rows) > int(told[1])


def test_the_picture_is_the_default_route() -> None:
    drawn = subprocess.run(
        [sys.executable, "-m", "engine", "graph", str(ROOT)], capture_output=True, text=True, check=True
    )
    assert block("mermaid").strip() == drawn.stdout.strip()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
