"""Whether a deployment can take a request, as far as its facts and the request tell: asked before a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.kinds.effects import Unfit
from engine.runtime import tokens
from engine.runtime.place import Place

if TYPE_CHECKING:
    from engine.runtime.run import Run

#: What a request needs, by the name that `can` has for it.
_CAN: Final = {"image": "images", "file": "files"}


def why_unfit(run: Run, place: Place) -> Unfit | None:
    """Why a deployment cannot take this request, known before any call; None where it can."""
    name = place.deployment.name
    if place.missing is not None:
        return Unfit("not_found", f"{name} is not available here: {place.missing}")
    face, op = run.face(place), run.inbound.operation
    if op not in place.operations and op != "count_tokens":
        return Unfit("unsupported", f"{name} does not do {op}")
    if "prefill" in run.needs:
        if face.can is None or "prefill" not in face.can:
            return Unfit("unsupported", f"{name} cannot go on with a begun answer (no `prefill`)")
        if op not in face.streams:
            return Unfit("unsupported", f"{name} does not stream")
    if face.can is not None:
        for need in sorted(run.needs):
            if _CAN.get(need, need) not in face.can:
                return Unfit("unsupported", f"{name} cannot do {_CAN.get(need, need)}")
    if run.native is not None and face.dialect != run.inbound.dialect:
        what = f"`{run.native}` means something in {run.inbound.dialect} only"
        return Unfit("unsupported", f"{what}, which {name} does not speak")
    allowed = run.terms.residency
    if allowed is not None and place.deployment.residency not in allowed:
        where = f"{name} runs in {place.deployment.residency}"
        return Unfit("permission", f"{where}, and the policies for this client key do not allow that")
    if place.credentials and not run.usable(place):
        return Unfit("permission", f"{name} has no credential for this client key")
    return _too_long(run, place)


def _too_long(run: Run, place: Place) -> Unfit | None:
    """A prompt that cannot fit. Only certainty skips: an exact count, or a text so long that no
    tokenizer could make it fit; otherwise the vendor is asked, whose refusal moves on.
    """
    facts, name = place.deployment.facts, place.deployment.name
    asked = run.request.get("max_tokens")
    if facts.output is not None and asked is not None and asked > facts.output:
        return Unfit("unsupported", f"{name} gives at most {facts.output} tokens, {asked} are asked")
    if facts.context is None:
        return None
    count = run.view.input_tokens
    least = count if run.exact else tokens.least(count)
    if least > facts.context and not run.exact:  # of images and tools nobody knows the least
        least = tokens.least(tokens.text_bytes(run.request))
    if least > facts.context:
        return Unfit("context_length", f"{name} holds {facts.context} tokens, the input has {count}")
    return None
