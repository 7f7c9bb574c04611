"""The page of failure classes: what each means, whether it moves on, whether it is retried in place, its
status.
"""

from __future__ import annotations

from typing import Final

from engine.errors import ERROR_CODES, STATUS
from engine.policies.failures import CLASSES, GROUPS, MOVES_ON, NEVER_MOVES, expand
from engine.policies.retry import IN_PLACE, IN_PLACE_IF_NAMED

MEANING: Final = {
    "rate_limited": "The vendor says: too many requests for now.",
    "quota_exhausted": "The account's money or quota is used up.",
    "overloaded": "The vendor says that it has no capacity now.",
    "timeout": "A part of the call took longer than its `timeout` allows.",
    "connect": "No connection: refused, no such host, TLS failed.",
    "server": "The vendor failed by its own word (5xx), or answered what cannot be read.",
    "auth": "The vendor does not accept our credential.",
    "permission": "Our credential may not do this there, or the deployment has none that may be used.",
    "not_found": "The vendor has no such model or path.",
    "context_length": "The request is longer than the model holds.",
    "content_policy": "The vendor refused the content.",
    "bad_request": "The request itself is wrong: every target would say so.",
    "unsupported": "The target cannot do what the request needs.",
    "cut": "The answer broke off before its end.",
    "invalid_output": "The answer is not in the form that was asked for.",
    "full": "Skipped: a limit, an open breaker or a cooldown stood before the call (docs/health.md).",
    "cancelled": "The client left.",
}


def failures_page() -> str:
    """All classes and groups."""
    moving = expand(MOVES_ON)
    about = (
        "How a call can fail. It is classified once, where the vendor's answer is read; everything after "
        "that reads the class. *Moves on*: whether the next target is asked by default (`failures`). *In "
        "place*: whether `retry` asks the same target again."
    )
    head = "| class | | moves on | in place | status, if it is the last word | `code` |"
    lines = ["# Failure classes", "", about, "", head, "| --- | --- | --- | --- | --- | --- |"]
    for name in CLASSES:
        cells = [
            f"`{name}`",
            MEANING[name],
            _moves(name, moving),
            _retried(name),
            str(STATUS[name]),
            f"`{ERROR_CODES[name]}`",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## Groups", ""]
    for group, classes in GROUPS.items():
        lines.append(f"- `{group}`: {', '.join(f'`{name}`' for name in classes)}")
    return "\n".join(lines) + "\n"


def _moves(name: str, moving: tuple[str, ...]) -> str:
    if name in NEVER_MOVES:
        return "never"
    return "yes" if name in moving else "if named"


def _retried(name: str) -> str:
    if name in IN_PLACE:
        return "yes, after the vendor's delay" if name == "rate_limited" else "yes"
    return "if named itself" if name in IN_PLACE_IF_NAMED else "no"
