"""`sticky:` the same choice for the same user or conversation."""

from __future__ import annotations

from typing import ClassVar

from engine.spec.amounts import PositiveDuration
from engine.spec.defaults import PRINTED
from engine.spec.expression import Expression
from engine.spec.model import Spec, about


class Sticky(Spec):
    """Requests with the same value of `by` get the same choice."""

    noun: ClassVar[str] = "sticky"

    by: Expression = about("What stays together.", required=True, examples=["request.conversation or key.id"])
    ttl: PositiveDuration | None = about(
        "For how long after the last request.", shown=PRINTED["balance.sticky.ttl"]
    )
