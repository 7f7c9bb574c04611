"""Where usage is kept: what engine.yaml says, or beside the state store, which outlives a process as well."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from engine.plan.types import UsageFile
from engine.spec.settings import Settings, Usage
from engine.spec.workspace import Workspace

_FOLDER: Final = ".engine"
_NAME: Final = "usage.db"


#: Sections that tell clients apart, or count what they use.
_COUNTS: Final = ("keys", "groups", "budgets", "limits", "require")


def usage_file(settings: Settings) -> UsageFile | None:
    """The usage store of engine.yaml; None: `usage: off`, or nothing is said and state is in memory."""
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


def is_kept(settings: Settings, spec: Workspace) -> bool:
    """Whether a sidecar writes it. Where nothing is said, only if there are clients to tell apart or
    something is counted: it takes a tenth of the requests that a core serves.
    """
    shared = settings.state.startswith("redis")
    return settings.usage is not None or shared or any(getattr(spec, name) for name in _COUNTS)


def _beside(state: str) -> str:
    kind, _, place = state.partition(":")
    folder = PurePath(place).parent if kind == "sqlite" else PurePath(_FOLDER)
    return str(folder / _NAME)
