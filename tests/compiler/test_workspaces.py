"""Whole workspaces and what the compiler says of them: pairs on disk, broken ones and good ones.

`workspaces/broken/NAME/` holds files and `expected.txt`: every diagnostic with its place, help and related
places. `workspaces/good/NAME/` holds files and `expected.txt`: the plan as `engine plan` shows it. A folder
with `envs/X` is compiled under `--env X`. ENGINE_UPDATE_GOLDENS=1 rewrites the expectations; read the diff
before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.compiler.pipeline import Compiled, compile_folder
from engine.diagnostics import Diagnostic
from engine.explain import plan_view
from engine.explain.plan_diff import compare
from engine.kinds.outline import reached, walk_tree, worst
from engine.plan.plan import Plan

ROOT = Path(__file__).parent / "workspaces"
BROKEN = sorted(path for path in (ROOT / "broken").iterdir() if path.is_dir())
GOOD = sorted(path for path in (ROOT / "good").iterdir() if path.is_dir())


def compiled(folder: Path) -> Compiled:
    envs = sorted(path.name for path in folder.glob("envs/*"))
    return compile_folder(folder, envs[0] if envs else None)


def told(found: tuple[Diagnostic, ...]) -> str:
    """The diagnostics as text."""
    lines: list[str] = []
    for d in found:
        lines.append(str(d))
        lines += [f"    {r.span}: {r.message}" for r in d.related]
        lines += [f"    help: {d.help}"] if d.help else []
    return "".join(line + "\n" for line in lines)


def compare_golden(folder: Path, text: str) -> None:
    golden = folder / "expected.txt"
    if os.environ.get("ENGINE_UPDATE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("folder", BROKEN, ids=lambda path: path.name)
def test_broken(folder: Path) -> None:
    done = compiled(folder)
    compare_golden(folder, told(done.diagnostics))
    # Whatever the golden says: something is found, an error leaves no plan, every place is in a file read.
    found = [d for d in done.diagnostics if d.severity != "note"]
    assert found
    assert (done.plan is None) == any(d.severity == "error" for d in found)
    for d in found:
        for span in [d.span, *(r.span for r in d.related)]:
            if span is not None:
                lines = done.texts()[span.file].split("\n")
                assert span.line <= len(lines)
                assert span.column <= len(lines[span.line - 1]) + 1


def test_there_are_enough_broken_ones() -> None:
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("folder", GOOD, ids=lambda path: path.name)
def test_good(folder: Path) -> None:
    done = compiled(folder)
    assert done.plan is not None, told(done.diagnostics)
    # Without the revision and the price book, which provider files and facts change.
    shown = plan_view.show(done.plan).partition("\n")[2].partition("\n\nprice book ")[0]
    compare_golden(folder, told(done.diagnostics) + shown + "\n")
    sound(done.plan)


def sound(plan: Plan) -> None:
    """What holds for every plan, whatever a golden blessed."""
    again = Plan.load(plan.dump())
    assert again.revision == plan.revision
    assert compare(again, plan) == ()
    for name in plan.manifest.routes:
        route = plan_view.linked(again, name)
        figures = plan_view.view(plan, name)
        zones = {plan.deployment(d).residency for d in reached(route.start)}
        assert set(figures.regions) == zones
        assert route.residency is None or zones <= set(route.residency)
        assert figures.calls <= worst(route.start).calls
        assert route.per_request.calls is None or figures.calls <= route.per_request.calls
        ids = [node.id for node in walk_tree(route.start)]
        assert all(ids)
        for node in walk_tree(route.start):
            # Linked: every target knows all its options.
            assert None not in (node.call.total_ms, node.call.retry_extra, node.call.failures)
