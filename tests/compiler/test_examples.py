"""The examples of diagnostics: `bad` yields the code, `good` compiles without it; every code is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import engine
from engine.codes import CODES
from engine.compiler.pipeline import Compiled, compile_folder

ROWS = list(CODES.values())
#: Found in the file system, on the machine or in a running process, or too large to print: a small file
#: cannot show them. Their own tests are elsewhere.
WITHOUT_EXAMPLE = {
    *("E001", "E002", "E003", "E004", "E005", "E006", "E008", "E009", "E013", "E014", "E021", "W004", "N001"),
    *("E244", "E500", "E501", "E502", "E503", "E504"),
}
#: What these are about parses, and is not built yet.
NOT_BUILT = {"E215", "E216", "W246"}


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
    if row.code[1] != "0" and row.code not in NOT_BUILT:  # E0xx show a piece of YAML, not a workspace
        assert [str(d) for d in found if d.severity != "note"] == []


def test_every_code_is_found_somewhere() -> None:
    root = Path(engine.__file__).parent
    texts = [p.read_text() for p in root.rglob("*.py") if p.parent != root / "codes"]
    used = {code for text in texts for code in re.findall(r"\"([EWN]\d{3})\"", text)}
    assert used == set(CODES)
