"""`engine.yaml` by itself, for what needs no plan: where the state and the usage of a workspace lie."""

from __future__ import annotations

from pathlib import Path

from engine.compiler.load import SETTINGS, Source
from engine.compiler.parse import parse
from engine.compiler.read_file import read_text
from engine.compiler.shape import shape
from engine.diagnostics import Diagnostics
from engine.spec.settings import Settings


def settings_alone(root: Path, out: Diagnostics) -> tuple[Settings, dict[str, str]]:
    """The settings in the folder `root`, and the text they come from by its path, to quote from.

    Faults go to `out`; the settings are then the defaults, as they are where there is no file.
    """
    base = root.resolve()
    read = read_text(base, SETTINGS, out) if (base / SETTINGS).exists() else None
    if read is None:
        return Settings(), {}
    document = parse(Source(SETTINGS, "settings", *read), out)
    found = None if document is None else shape(Settings, document, out)
    return found or Settings(), {SETTINGS: read[0]}
