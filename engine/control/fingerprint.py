"""What a workspace's files hold, as one digest, and a cheap look at whether they may have changed.

Only the places that a workspace reads from are looked at. The digest is of contents: a file that was
touched, rewritten as it was, or moved by a symlink swap changes nothing, and one whose time stands still
but whose content changed does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

#: The folders of a workspace that a plan is made of, and its one file outside them.
FOLDERS: Final = ("routes", "policies", "providers.d", "envs")
SETTINGS: Final = "engine.yaml"

#: Deeper than this nothing is read; a link that leads in a circle ends here.
_DEPTH: Final = 8

#: The compiler refuses larger files, so what they hold does not matter.
_LARGEST: Final = 4 * 1024 * 1024

#: A workspace of so many bytes is read at each look; of a larger one only what can be had without reading.
READ_EACH_TIME: Final = 8 * 1024 * 1024


class Folder(NamedTuple):
    """A folder to watch. Another one under the same path has another inode, and events of its own."""

    path: Path
    device: int
    inode: int


def folders(root: Path) -> tuple[Folder, ...]:
    """Every existing folder to watch: the workspace's own, and those that it reads with all below them."""
    found = [root] if root.is_dir() else []
    for name in FOLDERS:
        found += [folder for folder, _ in _walk(root / name, _DEPTH)]
    return tuple(each for each in map(_folder, found) if each is not None)


def content(root: Path) -> str:
    """The digest of everything that a compile would read."""
    total = hashlib.sha256()
    for path in _files(root):
        total.update(os.fsencode(path.relative_to(root)) + b"\0")
        try:
            if path.is_file():
                with path.open("rb") as file:
                    total.update(hashlib.sha256(file.read(_LARGEST)).digest())
        except OSError as error:
            total.update(f"{error.errno}".encode())  # unreadable is a state too: its end is a change
    return total.hexdigest()


def signature(root: Path) -> tuple[object, ...]:
    """Names, sizes, times and inodes, and of a workspace that is not too large its content: what a look every
    second can afford. Times are no proof: a file system, or whoever restores files, may keep them.
    """
    rows: list[object] = []
    size = 0
    for path in _files(root):
        try:
            stat = path.stat()
        except OSError:
            continue
        size += stat.st_size
        rows.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    if size <= READ_EACH_TIME:
        rows.append(content(root))
    return tuple(rows)


def _folder(path: Path) -> Folder | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return Folder(path, stat.st_dev, stat.st_ino)


def _files(root: Path) -> Iterator[Path]:
    yield root / SETTINGS
    for name in FOLDERS:
        for folder, names in _walk(root / name, _DEPTH):
            for file in sorted(names):
                if file.endswith((".yaml", ".yml")):
                    yield folder / file


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, list[str]]]:
    try:
        with os.scandir(folder) as entries:
            below = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return
    yield folder, [name for name, is_folder in below if not is_folder]
    if depth > 0:
        for name, is_folder in sorted(below):
            # Hidden folders are editors' and, in a ConfigMap, the data behind the links that are read.
            if is_folder and not name.startswith("."):
                yield from _walk(folder / name, depth - 1)
