"""What a route lets in: `admit`, checked before anybody is asked. 413 for the input, 400 for the rest.

What passes here is what the compiler proved the route's targets can hold and do.
"""

from __future__ import annotations

from typing import Final

from engine.errors import NotAdmitted
from engine.plan.types import Admit
from engine.runtime.hosted import names
from engine.runtime.views import RequestView, parts
from engine.wire.canonical import Request

#: Operation -> the field that holds its input, for errors. A chat's is `messages`.
_INPUT: Final = {"embeddings": "input", "rerank": "documents"}


def check_admitted(admit: Admit, request: Request, view: RequestView) -> None:
    """Let a request in, or say why not.

    Raises:
        NotAdmitted: 413 where the input is too long, 400 where it holds or asks for what the route refuses.
    """
    if admit.input is not None and view.input_tokens > admit.input:
        raise NotAdmitted(
            f"the input is {view.input_tokens} tokens, this model takes {admit.input}",
            status=413,
            code="input_too_long",
            param=_INPUT.get(view.operation, "messages"),
        )
    asked = request.get("max_tokens")
    if admit.output is not None and asked is not None and asked > admit.output:
        raise _refused(f"max_tokens is {asked}, this model gives at most {admit.output}", "max_tokens")
    if request.get("n", 1) > admit.n:
        raise _refused(f"n is {request.get('n')}, this model gives at most {admit.n}", "n")
    if not view.features:
        return
    _check_media(admit, request, view)
    _check_tools(admit, request, view)
    if admit.json_schema is False and view.has("json_schema"):
        raise _refused("this model does not take a JSON Schema", "response_format")


def output_tokens(admit: Admit, request: Request) -> int | None:
    """The output limit of a request: what it asks, else what the route gives; None = nobody limits it."""
    asked = request.get("max_tokens")
    return admit.output if asked is None else asked


def _check_media(admit: Admit, request: Request, view: RequestView) -> None:
    for kind, most in (("image", admit.images), ("audio", admit.audio), ("file", admit.files)):
        if most is None or not view.has(kind):
            continue
        count = sum(part.get("type") == kind for part in parts(request))
        if count > most:
            told = f"at most {most} {kind} parts" if most else f"no {kind} parts"
            raise _refused(
                f"the request holds {count} {kind} parts, this model takes {told}",
                _INPUT.get(view.operation, "messages"),
            )


def _check_tools(admit: Admit, request: Request, view: RequestView) -> None:
    if not view.has("tools"):
        return
    if admit.tools is False:
        raise _refused("this model does not take tools", "tools")
    if admit.hosted_tools is None:
        return
    for hosted in names(request.get("tools", [])):
        if hosted not in admit.hosted_tools:
            raise _refused(f"this model does not take the hosted tool {hosted!r}", "tools")


def _refused(message: str, param: str) -> NotAdmitted:
    return NotAdmitted(message, status=400, code="not_admitted", param=param)
