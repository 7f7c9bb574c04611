"""The failure classes as policy reads them: the closed list, its one group, and what moves on by default."""

from __future__ import annotations

from functools import lru_cache

#: Every class of language.md, in its order.
CLASSES: tuple[str, ...] = (
    "rate_limited", "quota_exhausted", "overloaded", "timeout", "connect", "server", "auth", "permission",
    "not_found", "context_length", "content_policy", "bad_request", "unsupported", "cut", "invalid_output",
    "full", "cancelled",
)  # fmt: skip

#: group -> its classes.
GROUPS: dict[str, tuple[str, ...]] = {
    "transient": ("rate_limited", "overloaded", "timeout", "connect", "server", "cut", "full"),
}

#: `failures` where nothing is written.
DEFAULT: tuple[str, ...] = (
    "transient", "quota_exhausted", "auth", "permission", "not_found", "context_length", "unsupported",
)  # fmt: skip

#: Another target would answer the same, or there is nobody left to answer to.
NEVER_MOVES: frozenset[str] = frozenset({"bad_request", "cancelled"})


@lru_cache(maxsize=1024)
def moving(failures: tuple[str, ...] | None) -> frozenset[str]:
    """The classes that move on, for a `failures` list as a plan holds it; None = nothing was written."""
    return _spread(DEFAULT if failures is None else failures) - NEVER_MOVES


@lru_cache(maxsize=1024)
def retried(failures: tuple[str, ...] | None) -> frozenset[str]:
    """The classes that `retry.failures` lists; None = nothing was written, which is `transient`."""
    return _spread(("transient",) if failures is None else failures) - NEVER_MOVES


def _spread(failures: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for item in failures for name in GROUPS.get(item, (item,)))
