"""That a deployment is set aside, as one host tells it to others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from engine.plan.fate import place
from engine.plan.types import Deployment


@dataclass(frozen=True, slots=True)
class Aside:
    """What a host has learnt.

    place: which place the deployment stands for, so that another one of the same name is not meant.
    kind: `open`: its breaker opened; `pause`: its vendor wants one of `ms`, for who shows this `credential`
        (a name, "" where none is shown).
    """

    deployment: str
    place: str
    kind: Literal["open", "pause"]
    credential: str = ""
    ms: int = 0


def place_of(deployment: Deployment) -> str:
    """The place in a few letters, in which no address can be read."""
    return hashlib.sha256("\0".join(place(deployment)).encode()).hexdigest()[:24]
