"""The last plan that ran, kept over restarts: a workspace whose files are broken then serves on.

One file for each workspace and environment, in the user's state folder (`ENGINE_STATE_DIR` names another, for
containers a volume), not in the workspace, which is often read-only. It holds a `Compiled` as frames: data,
never code, and nothing of it is believed whose digest does not fit. The compiling child writes it beside its
place, synced, while the plan goes live; only when it has does the file move into its place.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.folders import user_state

if TYPE_CHECKING:
    from engine.control.compiled import Compiled
    from engine.control.first_compile import FirstCompile


@dataclass(frozen=True, slots=True)
class Start:
    """What a process begins with.

    rejected: what is wrong with the files, where `compiled` is the last good plan in their place.
    last_good: where what runs is kept; None: nowhere. first: the child that writes it; None: it is written.
    content: what the files held when they were compiled, as `Compiled.content`, also where they are rejected.
    """

    compiled: Compiled
    last_good: LastGood | None = None
    rejected: tuple[dict[str, Any], ...] | None = None
    first: FirstCompile | None = None
    content: str | None = None

    def keep(self) -> None:
        """The plan runs: keep it for the next start, once it is written. Raises OSError."""
        if self.first is not None:
            self.first.ended()
        if self.last_good is not None and self.rejected is None:
            self.last_good.commit()


class LastGood:
    """The file of one workspace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Where the next one waits until its plan runs. Two sidecars may serve one workspace.
        self.next = path.with_suffix(f".{os.getpid()}.next")

    @classmethod
    def of(cls, workspace: Path, env: str | None) -> LastGood | None:
        """That of a workspace in an environment; None for a user without a home."""
        try:
            folder = user_state() / "last-good"
        except RuntimeError:
            return None
        # The real path: two names of one folder are one workspace.
        key = hashlib.sha256(os.fsencode(workspace.resolve()) + b"\0" + (env or "").encode()).hexdigest()
        return cls(folder / f"{key[:32]}.plan")

    def commit(self) -> None:
        """The plan of `next` runs: it is the last good one now. Raises OSError."""
        self.next.replace(self.path)
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """The plan of `next` does not run, or this process ends."""
        with suppress(OSError):
            self.next.unlink(missing_ok=True)

    def load(self) -> Compiled | None:
        """What ran last; None where nothing is kept. Raises CompileFault where it cannot be used."""
        # Deferred: the child that compiles is begun before a plan can be read here.
        from engine.control.compiled import Compiled, CompileFault
        from engine.plan.codec import PlanDecodeError

        try:
            if not _is_ours(self.path.parent):
                raise CompileFault(f"somebody else may write to {self.path.parent}")
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CompileFault(f"{self.path} cannot be read: {error.strerror or error}") from error
        compiled = Compiled.load(data)
        if compiled.plan is None or compiled.settings is None:
            raise CompileFault(f"{self.path} holds no plan")
        try:
            compiled.plan.check()
        except PlanDecodeError as error:
            raise CompileFault(f"{self.path} does not read: {error}") from error
        return compiled


def write(path: Path, frames: Iterable[bytes]) -> str | None:
    """Write a file and sync it; readable by its user only. None where it stands, else why it does not."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(path.parent):
            return f"somebody else may write to {path.parent}"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            for data in frames:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{path}: {error.strerror or error}"
    return None


def _is_ours(folder: Path) -> bool:
    """Only this user can write there. Raises OSError where there is no such folder."""
    found = folder.stat()
    return sys.platform == "win32" or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
