"""A canonical request as what the worker needs: template messages, search options, guidance, stops.

What a local model cannot do is refused here, before anything is spent; fields without effect on
it are named by `dropped`, so that the ledger can say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from engine.local.protocol import Generate
from engine.policies.failures import FailureClass
from engine.wire.canonical import Message, Part, Request, ResponseFormat, Tool, ToolChoice

#: What a local model can do, in the words of `can`. No `tools`: a model calls one only when it is
#: told to (`tool_choice` required or a name), never by its own decision.
CAN = ("json_object", "json_schema", "stream")

#: Fields that are carried out, in whole.
KEPT = frozenset(
    (
        *(
            "operation",
            "model",
            "messages",
            "tools",
            "tool_choice",
            "max_tokens",
            "n",
            "stop",
            "response_format",
        ),
        *("temperature", "top_p", "top_k", "repetition_penalty", "seed", "stream", "include_usage"),
    )
)

#: Fields a request cannot be served without: present (and not at a value without effect) they are refused.
REFUSED = frozenset(("logprobs", "top_logprobs", "logit_bias", "audio", "prediction", "modalities"))

_PLAIN: dict[str, Any] = {"logprobs": False, "top_logprobs": 0, "logit_bias": {}, "modalities": ["text"]}

#: Written into schemas: without it a weak model may fill an answer with blanks up to its limit.
_COMPACT = {"x-guidance": {"whitespace_flexible": False}}


class Refused(Exception):
    """A local model cannot answer this request: the failure class and the words for the client."""

    def __init__(self, failure: FailureClass, message: str) -> None:
        super().__init__(message)
        self.failure: FailureClass = failure
        self.message = message


def dropped(request: Request) -> tuple[str, ...]:
    """The fields of `request` that have no effect on a local model, sorted."""
    return tuple(sorted(request.keys() - KEPT - REFUSED))


def with_params(request: Request, params: Mapping[str, Any]) -> Request:
    """The request with the target's `params` over the client's own; names are the canonical ones."""
    written = {name: value for name, value in params.items() if name in KEPT}
    return cast(Request, {**request, **written}) if written else request


def forced_tool(request: Request) -> bool:
    """Whether the answer must be a tool call."""
    return request.get("tool_choice", ToolChoice()).get("mode") in ("required", "named")


def to_generate(request: Request, max_tokens: int, id: int = 0, *, begun: bool = False) -> Generate:
    """The worker's message for `request`; `begun`: its last message is the beginning of the answer. Raises
    `Refused`.
    """
    _refuse(request, max_tokens)
    return Generate(
        op="generate",
        id=id,
        messages=template_messages(request),
        tools=template_tools(request),
        max_tokens=max_tokens,
        search=search_options(request),
        guidance=_guidance(request),
        stop=list(request.get("stop", ())),
        begun=begun,
    )


def _refuse(request: Request, max_tokens: int) -> None:
    if max_tokens < 1:
        raise Refused("bad_request", f"max_tokens must be at least 1, not {max_tokens}")
    if not request.get("messages"):
        raise Refused("bad_request", "messages is empty")
    if request.get("n", 1) != 1:
        raise Refused("unsupported", "a local model gives one answer a request: n must be 1")
    for field in sorted(request.keys() & REFUSED):
        if request.get(field) not in (None, _PLAIN.get(field)):
            raise Refused("unsupported", f"local models do not support {field}")
    if request.get("tools") and not forced_tool(request) and _mode(request) != "none":
        raise Refused(
            "unsupported",
            "a local model calls a tool only when it must: tool_choice required, or a function's name",
        )


def _mode(request: Request) -> str:
    return request.get("tool_choice", ToolChoice()).get("mode", "auto")


def search_options(request: Request) -> dict[str, float | bool]:
    """`set_search_options` of a request. Greedy when temperature is absent or 0. Raises `Refused`."""
    options: dict[str, float | bool] = {}
    if "repetition_penalty" in request:  # the model's folder may have a default of its own
        penalty = request["repetition_penalty"]
        if penalty <= 0:
            raise Refused("bad_request", f"repetition_penalty must be above 0, not {penalty}")
        options["repetition_penalty"] = float(penalty)
    temperature = request.get("temperature", 0)
    top_p, top_k = request.get("top_p", 1.0), request.get("top_k", 0)
    if temperature < 0 or not 0 <= top_p <= 1 or top_k < 0:
        raise Refused(
            "bad_request", f"out of range: temperature {temperature}, top_p {top_p} or top_k {top_k}"
        )
    if temperature == 0 or top_p == 0 or top_k == 1:
        return options | {"do_sample": False}
    options |= {"do_sample": True, "temperature": float(temperature), "top_p": float(top_p), "top_k": top_k}
    if "seed" in request:
        options["random_seed"] = request["seed"] % (1 << 31)  # GenAI takes 0 to 2**31 - 1, negative is random
    return options


def template_messages(request: Request) -> str:
    """The messages as the chat template wants them: JSON, every content one string. Raises `Refused`."""
    return _json([_message(message) for message in request["messages"]])


def template_tools(request: Request) -> str | None:
    """The tools as JSON in OpenAI's form, None without tools or with `tool_choice: none`."""
    tools = request.get("tools")
    if not tools or _mode(request) == "none":
        return None
    return _json([{"type": "function", "function": _function(tool)} for tool in tools])


def _function(tool: Tool) -> dict[str, Any]:
    if "hosted" in tool:
        raise Refused("unsupported", "a vendor's hosted tool cannot run on a local model")
    parameters = tool.get("parameters", {"type": "object", "properties": {}})
    return {"name": tool["name"], "description": tool.get("description", ""), "parameters": parameters}


def _message(message: Message) -> dict[str, Any]:
    text: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in message.get("content", ()):
        kind = part.get("type")
        if kind == "tool_call":
            calls.append(_call(part))
        elif kind == "tool_result":
            text.extend(_text(inner) for inner in part.get("content", ()))
        elif kind != "reasoning":  # earlier thoughts are not said again
            text.append(_text(part))
    # a developer's message is the system's word; no local template knows the newer name
    role = "system" if message["role"] == "developer" else message["role"]
    flat: dict[str, Any] = {"role": role, "content": "".join(text)}
    if calls:
        flat["tool_calls"] = calls
    return flat


def _text(part: Part) -> str:
    kind = part.get("type")
    if kind not in ("text", "refusal"):
        raise Refused("unsupported", f"local models read text only, not {kind}")
    return part.get("text", "")


def _call(part: Part) -> dict[str, Any]:
    arguments = part.get("arguments", "{}")
    if "\\u" in arguments:
        # a template may parse them and print what the escapes stand for: better now, where it can be seen
        try:
            arguments = orjson.dumps(orjson.loads(arguments)).decode()
        except (ValueError, TypeError):
            pass  # no JSON: no template can parse it either
    function = {"name": part.get("name", ""), "arguments": arguments}
    return {"id": part.get("id", ""), "type": "function", "function": function}


def _guidance(request: Request) -> tuple[str, str] | None:
    if forced_tool(request):
        return "json_schema", _json(_call_schema(request))
    form = request.get("response_format", ResponseFormat())
    kind = form.get("type", "text")
    if kind == "regex":
        return "regex", form.get("pattern", "")
    if kind == "json_object":
        return "json_schema", _json({"type": "object"} | _COMPACT)
    if kind == "json_schema":
        return "json_schema", _json(form.get("schema", {}) | _COMPACT)
    return None


def _call_schema(request: Request) -> dict[str, Any]:
    """The schema of one call of an allowed tool: `{"name":...,"arguments":{...}}`, in this order."""
    tools, choice = request.get("tools", []), request.get("tool_choice", ToolChoice())
    if choice.get("mode") == "named":
        tools = [tool for tool in tools if tool.get("name") == choice.get("name")]
    if not tools:
        raise Refused("bad_request", "tool_choice asks for a tool that tools does not have")
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for tool in tools:
        function = _function(tool)
        # `#/$defs/...` inside a tool's parameters points at the root of what is now a deeper place
        parameters = dict(function["parameters"])
        for word in ("$defs", "definitions"):
            for name, definition in parameters.pop(word, {}).items():
                if definitions.setdefault(word, {}).setdefault(name, definition) != definition:
                    raise Refused("unsupported", f"two tools define {name} differently in their schemas")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    shape = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return shape | {word: found for word, found in definitions.items() if found} | _COMPACT


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise Refused("bad_request", f"the request holds text that is not Unicode: {error}") from None
