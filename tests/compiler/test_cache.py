"""Compiled files kept in a folder: the same plan and the same messages with it and without it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from engine.builtin import builtin_root
from engine.compiler import cache as caches
from engine.compiler.cache import MAX_BYTES, VARIABLE, Cache, default_cache
from engine.compiler.pipeline import Compiled, compile_folder

ROUTE = "routes: {r: {start: {use: m}}}\ndeployments: {m: {provider: mine, model: x}}\n"
PROVIDER = "dialect: openai_chat\nbase_url: https://mine.example/v1\nmodels: {x: {can: [tools]}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def warm(folder: Path, shipped_entries: Path) -> Path:
    """A cache of this test's own that has the shipped files already."""
    return Path(shutil.copytree(shipped_entries, folder))


@pytest.fixture(scope="module")
def shipped_entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shipped") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(made))
        (empty := tmp_path_factory.mktemp("empty")).joinpath("routes").mkdir()
        empty.joinpath("routes/r.yaml").write_text("routes: {r: {start: {respond: hello}}}\n")
        assert compile_folder(empty).plan is not None
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    for path, text in {"routes/r.yaml": ROUTE, "providers.d/mine.yaml": PROVIDER}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def dumped(compiled: Compiled) -> bytes:
    assert compiled.plan is not None, compiled.diagnostics
    return compiled.plan.dump()


def test_a_plan_from_the_cache_is_the_plan(folder: Path) -> None:
    """Every shipped dialect and provider, cold, kept, and taken: the same bytes, the same lowered values."""
    cold = compile_folder(builtin_root(), cache=False)
    assert not folder.exists()
    kept = compile_folder(builtin_root())
    assert any(folder.iterdir())
    taken = compile_folder(builtin_root())
    assert dumped(cold) == dumped(kept) == dumped(taken)
    assert cold.diagnostics == kept.diagnostics == taken.diagnostics


def test_what_is_taken_is_not_parsed(warm: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_folder(workspace)
    seen: list[str] = []
    read = __import__("engine.compiler.extends", fromlist=["parse"]).parse
    monkeypatch.setattr(
        "engine.compiler.extends.parse", lambda source, out: (seen.append(source.path), read(source, out))[1]
    )
    assert dumped(compile_folder(workspace)) == dumped(first)
    assert seen == []
    (workspace / "providers.d/mine.yaml").write_text(PROVIDER.replace("mine.example", "new.example"))
    changed = compile_folder(workspace)
    assert seen == ["providers.d/mine.yaml"]
    assert b"new.example" in dumped(changed)


def test_what_a_dialect_extends_counts(warm: Path, workspace: Path) -> None:
    """A change to the file below is a change to all that extend it, one of the same name in between too."""
    dialects = workspace / "providers.d/dialects"
    dialects.mkdir()
    (dialects / "mine.yaml").write_text("extends: base\n")
    (dialects / "base.yaml").write_text("extends: openai_chat\nfinish: {odd: stop}\n")
    (workspace / "providers.d/mine.yaml").write_text(PROVIDER.replace("openai_chat", "mine"))
    first = dumped(compile_folder(workspace))
    assert dumped(compile_folder(workspace)) == first == dumped(compile_folder(workspace, cache=False))
    (dialects / "base.yaml").write_text("extends: openai_chat\nfinish: {strange: stop}\n")
    changed = dumped(compile_folder(workspace))
    assert b"strange" in changed
    assert changed == dumped(compile_folder(workspace, cache=False))


def test_only_what_is_used_is_looked_at(warm: Path, workspace: Path) -> None:
    """A workspace that names one vendor reads the formats, and no shipped provider."""
    compiled = compile_folder(workspace)
    read = [path for path in compiled.texts() if path.startswith("builtin:providers.d/")]
    assert read, compiled.texts().keys()
    assert all("/dialects/" in path for path in read)


@pytest.mark.parametrize(
    "edit",
    [
        PROVIDER
        + "operations: [rerank, embeddings, chat]\nheadroom: {requests: {left: x}}\nadjust: [{drop: [n]}]\n",
        "extends: openai\nmodels: {nobody: null}\n",  # warns: it removes nothing
        PROVIDER + "heders: {a: b}\n",
        PROVIDER.replace("openai_chat", "openai_chta"),
        PROVIDER + "a: [\n",
        "extends: openai\n",
        "retired: it is no more; use another\n",
    ],
)
def test_what_is_said_is_said_each_time(warm: Path, workspace: Path, edit: str) -> None:
    (workspace / "providers.d/mine.yaml").write_text(edit)
    cold = compile_folder(workspace, cache=False)
    for _ in range(2):
        again = compile_folder(workspace)
        assert again.diagnostics == cold.diagnostics
        assert (again.plan is None) == (cold.plan is None)


def test_a_fault_in_another_file_quotes_a_taken_one(warm: Path, workspace: Path) -> None:
    """What a message points at in a file from the cache is read for it."""
    (workspace / "providers.d/mine.yaml").write_text(PROVIDER + "drop: [top_p]\n")
    route = ROUTE.replace("{use: m}", "{use: m, params: {top_p: 1}}")
    (workspace / "routes/r.yaml").write_text(route)
    cold = compile_folder(workspace)
    again = compile_folder(workspace)
    related = [each.span for found in again.diagnostics for each in found.related]
    assert any(span.file == "providers.d/mine.yaml" and span.line == 4 for span in related), again.diagnostics
    assert again.diagnostics == cold.diagnostics


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-1], lambda text: text[:40] + b"x" + text[41:], lambda _: b""]
)
def test_a_damaged_entry_counts_as_missing(folder: Path, workspace: Path, damage: object) -> None:
    assert callable(damage)
    first = dumped(compile_folder(workspace))
    for entry in folder.iterdir():
        entry.write_bytes(damage(entry.read_bytes()))
    assert dumped(compile_folder(workspace)) == first
    assert all(len(entry.read_bytes()) > 64 for entry in folder.iterdir())  # written anew


def test_another_engine_takes_nothing(folder: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_folder(workspace)
    before = {entry.name for entry in folder.iterdir()}
    monkeypatch.setattr("engine.compiler.stored.identity", lambda: "another")
    compile_folder(workspace)
    assert len({entry.name for entry in folder.iterdir()}) == 2 * len(before)


def test_identity_follows_the_source_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "engine"
    (package / "compiler").mkdir(parents=True)
    (package / "version.py").write_text("")
    (package / "compiler/a.py").write_text("a = 1\n")
    monkeypatch.setattr("engine.version.__file__", str(package / "version.py"))
    told = set()
    for change in ("a = 1\n", "a = 2\n", "a = 10\n"):
        (package / "compiler/a.py").write_text(change)
        caches.identity.cache_clear()
        told.add(caches.identity())
    (package / "compiler/b.py").write_text("")
    caches.identity.cache_clear()
    told.add(caches.identity())
    caches.identity.cache_clear()
    assert len(told) == 4


def test_without_a_folder_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert default_cache() is None
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = default_cache()
    assert found is not None
    assert found.folder == tmp_path / "llm-runner-router" / "compiled"


def test_a_folder_that_cannot_be_made_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "below")
    cache.put("a", b"x")
    assert cache.get("a") is None


@pytest.mark.skipif(os.name == "nt", reason="no permission bits there")
def test_a_folder_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.put("a", b"x")
    assert cache.get("a") == b"x"
    assert not stat.S_IMODE(cache.folder.stat().st_mode) & 0o077
    cache.folder.chmod(0o777)
    other = Cache(cache.folder)
    other.put("b", b"x")
    assert other.get("a") is None
    assert [entry.name for entry in cache.folder.iterdir()] == ["a"]


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    tmp_path.chmod(0o700)
    for number in range(3):
        with (tmp_path / str(number)).open("wb") as file:
            file.truncate(MAX_BYTES // 2 - 1000 * number)
        os.utime(tmp_path / str(number), (number, number))
    cache.put("new", b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["2", "new"]
