"""What a vendor may bill for a call that gave no answer.

Known from the answer: a vendor that refuses a call (any HTTP error) does not bill it, nor does one that was
never reached. What was sent and never answered may have been billed: whoever was cut off, timed out or left
cannot know. There the worst is taken, so that no ceiling is softer than it looks, but for a stream: closing
it ends the writing, and what was written would have come. Of a model that may think before it writes, even
that is not known.
"""

from __future__ import annotations

from typing import Final

from engine.kinds.effects import Outcome
from engine.runtime.place import Place
from engine.runtime.run import Run
from engine.wire.canonical import Usage

#: Failures after which nobody knows what the vendor did.
_UNKNOWN: Final = frozenset({"timeout", "cut", "cancelled", "invalid_output"})


def may_be_billed(outcome: Outcome) -> bool:
    """Whether a call that was sent and failed so may be billed all the same."""
    if outcome.unsent:
        return False
    if outcome.failure in _UNKNOWN:
        return True
    answered = outcome.status is None or outcome.status < 400
    return outcome.failure == "server" and answered


def may_have_thought(run: Run, place: Place) -> bool:
    """Whether a model that has begun to write may have thought before, unseen: vendors bill that."""
    facts = place.deployment.facts
    asked = run.request.get("reasoning")
    if asked is not None and asked.get("effort") == "none":
        return False
    if facts.thinking == "adaptive":  # it does when it is asked to
        return asked is not None or "reasoning" in (place.deployment.call.params or {})
    return bool(facts.efforts) or facts.thinking not in (None, "none")


def lost_usage(run: Run, place: Place, *, streamed: bool) -> Usage:
    """What a call used at most that was sent and of which nothing came."""
    facts = place.deployment.facts
    thinks = bool(facts.efforts) or facts.thinking not in (None, "none")
    output = 0 if streamed and not thinks else run.most_output(place) or 0
    return Usage(input_tokens=run.most_input(place), output_tokens=output, estimated=True)
