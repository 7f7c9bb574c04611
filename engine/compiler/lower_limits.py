"""`limits:` as the plan holds them, their defaults applied."""

from __future__ import annotations

from engine.compiler.lower import Lowerer
from engine.plan.money import Limit


def lower_limits(_low: Lowerer) -> dict[str, Limit]:
    """Every limit of the workspace, by name: none, while `limits:` is refused (`spec/built.py`)."""
    return {}
