"""The models on this disk: one folder each, under one root, each with a manifest.

A model is built in a hidden folder beside its place and moved there by one rename, so a folder with a model's
name is always whole; two processes that add the same model at once take turns (`lock`), and the
second finds it done. Layout: `ROOT/NAME/{manifest.json, genai_config.json, model.onnx, ...}`,
`ROOT/.fetch/NAME/` for what is being fetched, `ROOT/.locks/NAME`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.folders import user_cache
from engine.local.catalog import CATALOG, CONVERSION, CatalogEntry
from engine.local.errors import ModelError, did_you_mean
from engine.local.fetch import fetch
from engine.local.lock import locked
from engine.local.manifest import (
    MANIFEST,
    REQUIRED,
    Manifest,
    Progress,
    describe,
    read_manifest,
    silent,
    verify,
    write_manifest,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def default_root() -> Path:
    """Where models lie: `ENGINE_MODELS`, else the platform's cache folder for this user."""
    if given := os.environ.get("ENGINE_MODELS"):
        return Path(given).expanduser()
    return user_cache() / "models"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A GenAI folder that passed its checks. Without a manifest its bytes are taken on trust."""

    name: str
    path: Path
    manifest: Manifest | None


class ModelStore:
    """The models under one root. Every method is synchronous; `add` may take half a minute."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    def list(self) -> list[Manifest]:
        """The manifests of all models here, by name; folders with a broken manifest are left out."""
        found = []
        for path in sorted(self.root.glob("*/" + MANIFEST)):
            if not path.parent.name.startswith("."):
                try:
                    found.append(read_manifest(path.parent))
                except ModelError:
                    continue  # `show NAME` says what is wrong with it
        return found

    def show(self, name: str) -> Manifest:
        """The manifest of one model, unverified. Raises `ModelError`."""
        return read_manifest(self._existing(name))

    def find(self, name: str) -> ModelFolder:
        """The folder of `name`, verified. Raises `ModelError` with what is wrong and what to do."""
        path = self._existing(name)
        return ModelFolder(name, path, verify(path))

    def remove(self, name: str) -> Manifest | None:
        """Deletes a model and what was fetched for it; returns its manifest if that was readable."""
        path = self._existing(name)
        with locked(self._lock(name), lambda: None):
            try:
                manifest = read_manifest(path)
            except ModelError:
                manifest = None
            self._discard(path)
            shutil.rmtree(self.root / ".fetch" / name, ignore_errors=True)
        return manifest

    def add(self, source: str | Path, progress: Progress = silent, *, name: str | None = None) -> ModelFolder:
        """Adds a catalogue model by name, a GenAI folder (copied) or a GGUF file (converted) by path.

        A catalogue model that is here, whole and not `outdated` is left as it is. Raises `ModelError`.
        """
        entry = CATALOG.get(str(source))
        if entry is not None:
            return self._add_entry(entry, progress)
        path = Path(source).expanduser()
        if path.is_dir():
            return self._add_folder(path, name or path.resolve().name, progress)
        if path.is_file():
            return self._add_gguf(path, name or path.stem, progress)
        raise ModelError(
            "unknown",
            f"{source} is neither a model of the catalogue nor a folder or file here",
            did_you_mean(str(source), CATALOG) + "the catalogue has: " + ", ".join(sorted(CATALOG)),
        )

    def _add_entry(self, entry: CatalogEntry, progress: Progress) -> ModelFolder:
        with self._locked(entry.name, progress):
            place = self.root / entry.name
            if place.exists():
                try:
                    manifest = verify(place)
                except ModelError:
                    progress(f"{entry.name} is damaged and is made again", 0, 0)
                else:
                    if not outdated(manifest):
                        return ModelFolder(entry.name, place, manifest)
                    progress(f"{entry.name} was made by an older version and is made again", 0, 0)
            work = self.root / ".fetch" / entry.name
            gguf = fetch(entry, work, progress)
            folder = self._convert(gguf, entry.name, entry.source, entry, progress)
            shutil.rmtree(work, ignore_errors=True)
            return folder

    def _add_gguf(self, path: Path, name: str, progress: Progress) -> ModelFolder:
        with self._locked(name, progress):
            self._refuse_taken(name)
            return self._convert(path, name, str(path.resolve()), None, progress)

    def _add_folder(self, path: Path, name: str, progress: Progress) -> ModelFolder:
        open_folder(path)
        with self._locked(name, progress):
            self._refuse_taken(name)
            draft = self._draft(name)
            try:
                _copy(path, draft, progress)
                write_manifest(draft, _describe_folder(draft, name, str(path.resolve())))
                return self._publish(draft, name)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _convert(
        self, gguf: Path, name: str, source: str, entry: CatalogEntry | None, progress: Progress
    ) -> ModelFolder:
        # the door to numpy, onnx and gguf: only a conversion needs them
        from engine.local.convert import convert

        draft = self._draft(name)
        try:
            system = entry.system if entry else None
            penalty = entry.repetition_penalty if entry else 1.0
            made = convert(gguf, draft, progress, system=system, repetition_penalty=penalty)
            manifest = describe(
                draft,
                name=name,
                source=source,
                licence=entry.licence if entry else made.licence,
                architecture=made.architecture,
                quantisation=made.quantisation,
                context=made.context,
                conversion=CONVERSION,
                system=system[1] if system else None,
                repetition_penalty=penalty,
            )
            write_manifest(draft, manifest)
            return self._publish(draft, name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _draft(self, name: str) -> Path:
        draft = self.root / f".draft-{name}"
        for left in (draft, *self.root.glob(f".{draft.name}.*.part")):
            # left by a process that died: we hold the lock
            shutil.rmtree(left, ignore_errors=True)
        return draft

    def _publish(self, draft: Path, name: str) -> ModelFolder:
        place = self.root / name
        self._discard(place)
        draft.rename(place)
        return ModelFolder(name, place, verify(place))

    def _discard(self, place: Path) -> None:
        if place.exists():
            old = self.root / f".old-{place.name}"  # gone under its name at once, then deleted
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
            shutil.rmtree(old, ignore_errors=True)

    def _locked(self, name: str, progress: Progress) -> AbstractContextManager[None]:
        _check_name(name)
        return locked(self._lock(name), lambda: progress(f"another process is adding {name}", 0, 0))

    def _lock(self, name: str) -> Path:
        return self.root / ".locks" / name

    def _refuse_taken(self, name: str) -> None:
        if (self.root / name).exists():
            raise ModelError(
                "exists",
                f"there is a model {name} in {self.root}",
                f"`engine models remove {name}`, or take another name",
            )

    def _existing(self, name: str) -> Path:
        _check_name(name)
        path = self.root / name
        if path.is_dir():
            return path
        if name in CATALOG:
            raise ModelError(
                "not_fetched",
                f"model {name} is not on this disk ({self.root})",
                f"run `engine models add {name}`",
            )
        here = [entry.name for entry in self.root.glob("*") if not entry.name.startswith(".")]
        known = sorted({*here, *CATALOG})
        raise ModelError(
            "unknown",
            f"there is no model {name!r} in {self.root} or in the catalogue",
            did_you_mean(name, known) + "known: " + ", ".join(known),
        )


def outdated(manifest: Manifest) -> bool:
    """Whether `engine models add` would make this catalogue model anew, because it makes a better one now."""
    entry = CATALOG.get(manifest.name)
    return entry is not None and manifest.source == entry.source and manifest.conversion < CONVERSION


def open_folder(path: Path) -> ModelFolder:
    """A GenAI folder anywhere on the disk: verified if it has a manifest, else only looked over.

    Raises `ModelError`: `bad_folder` with what is missing, `symlinked`, and those of `verify`.
    """
    if not path.is_dir():
        raise ModelError(
            "bad_folder", f"{path} is not a folder", "give the folder that holds genai_config.json"
        )
    if (path / MANIFEST).exists():
        manifest = verify(path)
        return ModelFolder(manifest.name, path, manifest)
    if missing := [name for name in REQUIRED if not (path / name).is_file()]:
        raise ModelError(
            "bad_folder",
            f"{path} is not an ONNX Runtime GenAI folder: it has no {', '.join(missing)}",
            "`engine models convert FILE.gguf` makes one, or `python -m onnxruntime_genai.models.builder`",
        )
    decoder = _model_config(path).get("decoder")
    graph = decoder.get("filename", "model.onnx") if isinstance(decoder, dict) else "model.onnx"
    if not (path / graph).is_file():
        raise ModelError(
            "bad_folder", f"{path} has no {graph}, which its genai_config.json names", "build it again"
        )
    if linked := next((file for file in path.glob("*.data") if file.is_symlink()), None):
        raise ModelError(
            "symlinked",
            f"{linked} is a symbolic link; ONNX Runtime refuses data outside the model folder",
            f"`engine models add {path}` copies the file itself",
        )
    return ModelFolder(path.resolve().name, path, None)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ModelError(
            "bad_name", f"{name!r} cannot name a model", "use letters, digits, `.`, `-` and `_`, 128 at most"
        )


def _model_config(path: Path) -> dict[str, Any]:
    try:
        model = json.loads((path / "genai_config.json").read_bytes())["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "bad_folder", f"{path / 'genai_config.json'} cannot be read: {error!r}", "build the folder again"
        ) from None
    if not isinstance(model, dict):
        raise ModelError(
            "bad_folder", f"{path / 'genai_config.json'} has no model object", "build the folder again"
        )
    return model


def _describe_folder(draft: Path, name: str, source: str) -> Manifest:
    model = _model_config(draft)
    return describe(
        draft,
        name=name,
        source=source,
        licence="unknown",
        architecture=str(model.get("type", "unknown")),
        quantisation="as added",
        context=int(model.get("context_length", 0)),
    )


def _copy(source: Path, draft: Path, progress: Progress) -> None:
    """Copies the visible files (links become files); hard links would share later edits, so none are made."""
    files = [
        path
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and path.name != MANIFEST
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    ]
    total, done = sum(path.stat().st_size for path in files), 0
    for path in files:
        target = draft / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        done += path.stat().st_size
        progress("copy", done, total)
