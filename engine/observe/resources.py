"""How much of what the system gives this process is used: open files, memory.

Read from where the system tells it (Linux: /proc and the control group, which is a container's limit);
elsewhere nothing is known, and NaN says so. Limits are read anew each time: they may be changed from outside.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import resource

_FILES: Final = Path("/proc/self/fd")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def open_files() -> int | None:
    """Open file descriptors; None where the system does not tell."""
    try:
        # Linux 6.2 and later count them for us; before, the size is 0.
        return _FILES.stat().st_size or sum(1 for _ in _FILES.iterdir())
    except OSError:
        return None


def file_limit() -> float:
    """How many may be open; infinite where nothing limits them."""
    if sys.platform == "win32":
        return math.inf
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


def files_share() -> float:
    """The share of the file descriptors that are open; NaN where nobody knows."""
    used = open_files()
    return math.nan if used is None else used / file_limit()


def raise_file_limit() -> None:
    """Take as many file descriptors as the system allows without asking: each stream needs two."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS says "unlimited" and means less
            return


class Memory:
    """Memory against the tightest of: the control groups' limits, the address space's, the machine's.

    A control group's use is what it cannot give back (without file pages that are only cached). The machine
    is compared with this process alone: what others use is not ours to shed for.
    """

    def __init__(self, groups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> None:
        self._groups = [group for group in _groups(groups, own) if group.exists()]
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._machine = self._page * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0

    def share(self) -> float:
        """The share in use of the limit that is closest; NaN where nobody knows."""
        shares = [share for share in self._shares() if not math.isnan(share)]
        return max(shares, default=math.nan)

    def _shares(self) -> Iterator[float]:
        for group in self._groups:
            limit = group.limit()
            if limit:
                yield group.used() / limit
        size, resident = self._own()
        if sys.platform != "win32":
            soft, _ = resource.getrlimit(resource.RLIMIT_AS)
            if soft != resource.RLIM_INFINITY and soft > 0:
                yield size / soft
        if self._machine:
            yield resident / self._machine

    def _own(self) -> tuple[float, float]:
        """Address space and resident memory of this process, in bytes."""
        try:
            pages = Path("/proc/self/statm").read_text().split()
        except OSError:
            return math.nan, math.nan
        return int(pages[0]) * self._page, int(pages[1]) * self._page


class _Group:
    """One control group: version 2, or the memory controller of version 1."""

    def __init__(self, folder: Path, *, second: bool) -> None:
        limit, used, cached = (
            ("memory.max", "memory.current", "inactive_file")
            if second
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        self._limit, self._used, self._stat = folder / limit, folder / used, folder / "memory.stat"
        self._cached = cached

    def exists(self) -> bool:
        return self._limit.exists()

    def limit(self) -> int | None:
        """None: it has none."""
        found = _number(self._limit)
        # Version 1 writes "none" as a number near 2**63.
        return None if found is None or found >= 1 << 60 else found

    def used(self) -> float:
        """Without what is only cached."""
        found = _number(self._used)
        if found is None:
            return math.nan
        return max(0, found - self._inactive())

    def _inactive(self) -> int:
        try:
            rows = self._stat.read_text().splitlines()
        except OSError:
            return 0
        for row in rows:
            name, _, value = row.partition(" ")
            if name == self._cached:
                return int(value)
        return 0


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _groups(root: Path, own: Path) -> Iterator[_Group]:
    """The process's control group and those around it, whose limits hold for it too."""
    try:
        rows = own.read_text().splitlines()
    except OSError:
        return
    for row in rows:
        number, _, rest = row.partition(":")
        controllers, _, path = rest.partition(":")
        second = number == "0" and not controllers
        if not second and "memory" not in controllers.split(","):
            continue
        base = root if second else root / "memory"
        inside = base / path.lstrip("/")
        # In a container the path may be the host's, which is not to be seen here; its root is then our group.
        here = inside if inside.is_dir() else base
        while True:
            yield _Group(here, second=second)
            if here == base or base not in here.parents:
                break
            here = here.parent
