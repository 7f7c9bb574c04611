"""Where usage is kept: what engine.yaml says, or beside the state store, which outlives a process as well."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from engine.plan.types import UsageFile
from engine.spec.settings import Settings, Usage

_FOLDER: Final = ".engine"
_NAME: Final = "usage.db"


def usage_file(settings: Settings) -> UsageFile | None:
    """The usage store; None where nothing is kept: `usage: off`, or only in memory and nothing is said."""
    said = settings.usage
    if said == "off" or (said is None and settings.state == "memory"):
        return None
    usage = said if isinstance(said, Usage) else Usage()
    return UsageFile(
        file=usage.file or _beside(settings.state),
        keep_ms=usage.keep,
        keep_sums_ms=usage.sums,
        required=usage.required,
        optional=said is None,
    )


def _beside(state: str) -> str:
    kind, _, place = state.partition(":")
    folder = PurePath(place).parent if kind == "sqlite" else PurePath(_FOLDER)
    return str(folder / _NAME)
