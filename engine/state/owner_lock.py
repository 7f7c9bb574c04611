"""Proof that a process lives: a file of its own that it keeps locked, which the system unlocks when it ends.

The file's first byte says how much the process's marks are worth: `DOUBT` where it could not write down which
of its calls had gone out.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

SURE: Final = b"."
DOUBT: Final = b"?"


class OwnerLock:
    """The lock of this process. A child that is forked lets go of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / f"{os.getpid()}-{token_hex(4)}"
        self._fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        os.write(self._fd, SURE)
        if not _lock(self._fd):
            raise OSError(f"{self.path} cannot be locked")
        if hasattr(os, "register_at_fork"):
            mine = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _let_go(mine()))

    def doubt(self) -> None:
        """From here on, what this process has not marked as sent may have been."""
        with suppress(OSError):
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, DOUBT)  # in place: needs no room on a full disk

    def close(self) -> None:
        """The process is done; its file goes."""
        self.let_go()
        with suppress(OSError):
            self.path.unlink()

    def let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Dead:
    """The lock of a process that has ended. Held while what it left is put in order; `close` removes it."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd
        os.lseek(fd, 0, os.SEEK_SET)
        self.in_doubt = os.read(fd, 1) == DOUBT

    @classmethod
    def find(cls, path: Path) -> Dead | None:
        """None: it lives, or nobody can say."""
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:
            return None
        if not _lock(fd):
            os.close(fd)
            return None
        return cls(path, fd)

    def close(self) -> None:
        os.close(self._fd)
        with suppress(OSError):
            self._path.unlink()


def _let_go(lock: OwnerLock | None) -> None:
    if lock is not None:
        lock.let_go()


def _lock(fd: int) -> bool:
    """Whether nobody else has it; the system frees it with the last descriptor of it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 1, os.SEEK_SET)  # behind the byte that others read
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
