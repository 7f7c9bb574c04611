"""This user's folders, by the convention of the platform: what can be made again, what outlives a restart."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """This user's cache folder for the engine; it need not exist. Raises `RuntimeError` without a home."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "llm-runner-router"


def user_state() -> Path:
    """This user's folder for what should outlive a restart; `ENGINE_STATE_DIR` names another.

    It need not exist. Raises `RuntimeError` without a home.
    """
    given = os.environ.get("ENGINE_STATE_DIR")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "llm-runner-router"
