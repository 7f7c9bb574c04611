"""The folder for what can be made again, by the convention of the platform: models, compiled files."""

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
