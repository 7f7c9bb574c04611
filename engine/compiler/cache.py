"""What earlier compiles made of files, by the digest of all that it was made of: a folder of small files.

An entry is found by a key alone, so it is never out of date: the key is over the text of the file, its name
and every source file of the engine (`identity`). Entries are data, not code; one that was cut or changed does
not fit its own digest and counts as missing. The folder is the user's own: one that somebody else could write
to is not used. Without a folder that can be written there is no cache, and every compile is a cold one.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import engine.version
from engine.folders import user_cache

#: Names the folder, in place of the user's own; empty for none.
VARIABLE: Final = "ENGINE_CACHE_DIR"
#: The folder is cut back to half of this when a process first writes to it. Bytes.
MAX_BYTES: Final = 64 * 2**20
_DIGEST: Final = hashlib.sha256().digest_size


class Cache:
    """Entries in one folder, which is made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ours: bool | None = None
        self._swept = False

    def get(self, key: str) -> bytes | None:
        """The entry; None where there is none, or it is damaged."""
        try:
            if not self._is_ours():
                return None
            stored = (self.folder / key).read_bytes()
        except OSError:
            return None
        seal, value = stored[:_DIGEST], stored[_DIGEST:]
        return value if hashlib.sha256(value).digest() == seal else None

    def put(self, key: str, value: bytes) -> None:
        """Keep an entry, whole or not at all. Where that is impossible nothing happens."""
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ours = None
            if not self._is_ours():
                return
            if not self._swept:
                self._sweep()
            handle, name = tempfile.mkstemp(prefix=".", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(value).digest() + value)
                Path(name).replace(self.folder / key)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise

    def _is_ours(self) -> bool:
        """Only this user can write there. Raises `OSError` where there is no such folder."""
        if self._ours is None:
            found = self.folder.stat()
            self._ours = sys.platform == "win32" or (
                found.st_uid == os.getuid() and not found.st_mode & 0o022
            )
        return self._ours

    def _sweep(self) -> None:
        """Remove the oldest entries of a folder that has grown too large."""
        self._swept = True
        found = []
        for entry in os.scandir(self.folder):
            with suppress(OSError):  # another process may be at it too
                found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
        if sum(size for _, size, _ in found) <= MAX_BYTES:
            return
        kept = 0
        for _, size, path in sorted(found, reverse=True):
            kept += size
            if kept > MAX_BYTES // 2:
                with suppress(OSError):
                    Path(path).unlink()


def default_cache() -> Cache | None:
    """The cache that the environment asks for: `ENGINE_CACHE_DIR`, else in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    if given == "" or not identity():
        return None
    if given is not None:
        return Cache(Path(given).expanduser())
    try:
        return Cache(user_cache() / "compiled")
    except RuntimeError:  # a user without a home
        return None


@cache
def identity() -> str:
    """A digest of the engine as it is installed: version, and size and time of each of its source files.

    Empty where the files cannot be looked at (a package inside an archive): nothing is kept then.
    """
    package = Path(engine.version.__file__).parent
    found = hashlib.sha256(f"{engine.version.VERSION} {sys.version} {package}".encode())
    waiting = [str(package)]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in sorted(entries, key=lambda each: each.name):
                    if entry.name.endswith(".py"):
                        stat = entry.stat()
                        found.update(f"{entry.path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
                    elif entry.is_dir() and entry.name not in ("__pycache__", "_builtin"):
                        waiting.append(entry.path)
    except OSError:
        return ""
    return found.hexdigest()
