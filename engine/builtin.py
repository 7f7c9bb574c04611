"""Where the files that the engine ships are: `providers.d`, `schemas` and the default `routes`.

In a wheel they lie inside the package (`engine/_builtin/`, put there by the build); in a checkout they
are the repository's own top-level folders. Whoever needs one asks here; nobody else knows the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Part = Literal["providers.d", "schemas", "routes"]

_PACKAGE = Path(__file__).resolve().parent


def builtin_root() -> Path:
    """The folder that holds the shipped parts: itself a workspace."""
    inside = _PACKAGE / "_builtin"
    return inside if inside.is_dir() else _PACKAGE.parent


def builtin(part: Part) -> Path:
    """One shipped folder, as an absolute path."""
    return builtin_root() / part
