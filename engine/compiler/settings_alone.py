"""`engine.yaml` by itself, for what needs no plan: where the state and the usage of a workspace lie."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from engine.compiler.document import Document
from engine.compiler.load import SETTINGS, Source
from engine.compiler.parse import parse
from engine.compiler.read_file import read_text
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
    found = None if document is None else _shaped(document, out)
    return found or Settings(), {SETTINGS: read[0]}


def _shaped(document: Document, out: Diagnostics) -> Settings | None:
    try:
        return Settings.model_validate(document.data)
    except ValidationError:
        # Deferred: saying what is wrong takes the whole language, and most of the time that a command has.
        from engine.compiler.shape import shape

        return shape(Settings, document, out)
