"""The examples of diagnostics about names and graphs: `bad` yields the code, `good` compiles without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.codes import CODES
from engine.compiler.pipeline import Compiled, compile_folder

ROWS = [row for code, row in CODES.items() if code[1] == "2"]
#: Found on the machine or in the process's settings, not in files: their own tests are elsewhere.
WITHOUT_EXAMPLE = {"N230", "E244"}


def compile_files(root: Path, files: str | dict[str, str]) -> Compiled:
    """A workspace of these files (a text is routes/main.yaml), under its first environment if it has one."""
    files = {"routes/main.yaml": files} if isinstance(files, str) else files
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    envs = sorted(path.split("/")[1] for path in files if path.startswith("envs/"))
    return compile_folder(root, envs[0] if envs else None)


def test_every_code_has_examples() -> None:
    assert {row.code for row in ROWS if row.bad is None or row.good is None} == WITHOUT_EXAMPLE


@pytest.mark.parametrize("row", [r for r in ROWS if r.bad is not None], ids=lambda row: row.code)
def test_bad_example_yields_the_code(row, tmp_path: Path) -> None:
    found = compile_files(tmp_path, row.bad).diagnostics
    assert row.code in [d.code for d in found], [str(d) for d in found]
    if row.severity == "error":
        others = [str(d) for d in found if d.severity == "error" and d.code != row.code]
        assert others == []


@pytest.mark.parametrize("row", [r for r in ROWS if r.good is not None], ids=lambda row: row.code)
def test_good_example_is_good(row, tmp_path: Path) -> None:
    found = compile_files(tmp_path, row.good).diagnostics
    assert row.code not in [d.code for d in found]
    if row.code not in {"E215", "E216", "W246"}:  # what these are about parses, and is not built yet
        assert [str(d) for d in found if d.severity != "note"] == []
