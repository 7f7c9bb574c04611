"""The failure classes as policy reads them: the closed list, its one group, and what moves on by default."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, get_args

#: The closed list (docs/failures.md), in its order. An attempt is classified once, at the boundary.
FailureClass = Literal[
    "rate_limited",
    "quota_exhausted",
    "overloaded",
    "timeout",
    "connect",
    "server",
    "auth",
    "permission",
    "not_found",
    "context_length",
    "content_policy",
    "bad_request",
    "unsupported",
    "cut",
    "invalid_output",
    "full",
    "cancelled",
]

CLASSES: Final[tuple[FailureClass, ...]] = get_args(FailureClass)

#: group -> its classes.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "transient": ("rate_limited", "overloaded", "timeout", "connect", "server", "cut", "full"),
}

#: `failures` where nothing is written.
MOVES_ON: Final = (
    "transient",
    "quota_exhausted",
    "auth",
    "permission",
    "not_found",
    "context_length",
    "unsupported",
)

#: `retry.failures` where nothing is written.
RETRIED: Final = ("transient",)

#: Another target would answer the same, or there is nobody left to answer to: no list can name them.
NEVER_MOVES: Final = ("bad_request", "cancelled")


def expand(names: tuple[str, ...]) -> tuple[str, ...]:
    """Failure classes with groups spread out, each once, in the order of the language."""
    wanted = {single for name in names for single in GROUPS.get(name, (name,))}
    return tuple(name for name in CLASSES if name in wanted)


def named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are written one by one and not through a group."""
    return tuple(name for name in CLASSES if name in names)


@lru_cache(maxsize=1024)
def moving(failures: tuple[str, ...] | None) -> frozenset[str]:
    """The classes that move on, for a `failures` list as a plan holds it; None = nothing was written."""
    return frozenset(expand(MOVES_ON if failures is None else failures)).difference(NEVER_MOVES)


@lru_cache(maxsize=1024)
def retried(failures: tuple[str, ...] | None) -> frozenset[str]:
    """The classes that `retry.failures` lists; None = nothing was written."""
    return frozenset(expand(RETRIED if failures is None else failures)).difference(NEVER_MOVES)
