"""The generated pages: up to date, whole, and without dead links; `engine docs` and the page of a code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.codes import CODES
from engine.docs.codes_page import UnknownCode, page
from engine.docs.failures_page import MEANING
from engine.docs.reference import PAGES, drift, pages
from engine.errors import ERROR_CODES, STATUS
from engine.policies.failures import CLASSES
from engine.spec.built import BUILT
from engine.spec.nodes.table import SPECS
from engine.wire import canonical

ROOT = Path(__file__).parents[2]


def headings(text: str) -> set[str]:
    """Anchors as Markdown viewers make them."""
    found = re.findall(
        r"^#+ (.+)$", re.sub(r"^(`{3,})yaml$.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_the_repository_is_up_to_date() -> None:
    assert drift(ROOT / "docs") == [], "run `engine docs`"


def test_no_link_is_dead() -> None:
    made = pages()
    anchors = {name: headings(text) for name, text in made.items()}
    links = 0
    for name, text in made.items():
        for file, anchor in re.findall(r"\]\(([\w.]*)#?([\w-]*)\)", text):
            target = file or name
            assert target in anchors, f"{name}: {target}"
            assert not anchor or anchor in anchors[target], f"{name}: {target}#{anchor}"
            links += 1
    assert links > 100


def test_pages_hold_what_they_promise() -> None:
    made = pages()
    assert set(made) == set(PAGES)
    for name, row in BUILT.items():
        where = made["kinds.md"] + made["language.md"]
        for key in row:
            assert f"| `{key}` |" in where, f"{name}.{key}"
    assert all(f"\n## {kind}\n" in made["kinds.md"] for kind in SPECS)
    assert all(f"\n## {code} {row.slug}\n" in made["diagnostics.md"] for code, row in CODES.items())
    for name in ("Request", "Message", "Part", "Reply", "Event", "Usage"):
        assert hasattr(canonical, name)
        assert f"\n## {name}\n" in made["canonical.md"], name


def test_every_failure_class_is_explained() -> None:
    assert set(MEANING) == set(CLASSES) == set(STATUS) == set(ERROR_CODES)


@pytest.mark.parametrize("code", ["E101", "e101", " E101 ", "unknown-key"])
def test_a_code_by_number_or_name(code: str) -> None:
    text = page(code)
    assert text.startswith("# E101 unknown-key")
    assert "did you" not in text
    assert "per_requst" in text


@pytest.mark.parametrize(
    ("code", "hint"),
    [("E1O1", "did you mean E101?"), ("unknown-kye", "did you mean unknown-key?"), ("zzz", "E001")],
)
def test_an_unknown_code(code: str, hint: str) -> None:
    with pytest.raises(UnknownCode, match=re.escape(hint)):
        page(code)


def test_docs_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", str(tmp_path)]) == 0
    assert main(["docs", "--check", str(tmp_path)]) == 0
    (tmp_path / "docs" / "kinds.md").unlink()
    capsys.readouterr()
    assert main(["docs", "--check", str(tmp_path)]) == 1
    assert "kinds.md is out of date" in capsys.readouterr().out
