"""The first compile's child: what it made is here before it has ended, and what goes wrong is told."""

from pathlib import Path

import pytest

from engine.control import first_compile
from engine.control.compiled import CompileFault
from engine.control.first_compile import FirstCompile
from engine.control.last_good import LastGood, Start

ROUTES = "routes: {r: {start: {respond: hello}}}\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text(ROUTES)
    return tmp_path


def test_what_it_made_is_kept_once_it_runs(workspace: Path) -> None:
    place = LastGood(workspace / "kept" / "one.plan")
    first = FirstCompile(workspace, None, colour=False, keep=place.next)
    compiled = first.result()
    assert compiled.plan is not None
    assert not place.path.exists()
    Start(compiled, place, first=first).keep()
    assert place.load() == compiled


@pytest.mark.parametrize(
    ("module", "limit_s", "told"),
    [
        ("engine.nothing_of_the_kind", 60.0, "ended with 1"),
        ("this", 60.0, "does not read"),
        ("engine.control.compile_child", 0.0, "did not end within 0 s"),
    ],
)
def test_what_goes_wrong_is_told(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, module: str, limit_s: float, told: str
) -> None:
    monkeypatch.setattr(first_compile, "MODULE", module)
    monkeypatch.setattr(first_compile, "LIMIT_S", limit_s)
    with pytest.raises(CompileFault, match=told):
        FirstCompile(workspace, None, colour=False).result()
