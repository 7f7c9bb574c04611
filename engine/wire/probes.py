"""What a format may lose, as requests and answers that hold just that: the catalogue behind the ledger.

A `Probe` is a canonical value with one thing in it, and the same value without. Whether a dialect carries the
thing is then a question of fact: does what it writes differ, and does reading it back find the thing again?

`PATHS` of a probe say where the thing lies: `messages[].content[image].detail` is the `detail` of any part of
type (or role) `image` in the content of any message. Values are such as no template has a reason to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

_TEXT: Final = "probe-7f3a"
_DATA: Final = "cHJvYmU="
_HI: Final[dict[str, Any]] = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
_TOOL: Final[dict[str, Any]] = {
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
}
_SCHEMA: Final[dict[str, Any]] = {"type": "object", "properties": {"probe": {"type": "string"}}}
_CALL: Final[dict[str, Any]] = {
    "type": "tool_call",
    "id": "call_1",
    "name": "look",
    "arguments": '{"at":"a"}',
}
_RESULT: Final[dict[str, Any]] = {
    "type": "tool_result",
    "id": "call_1",
    "content": [{"type": "text", "text": "seen"}],
}


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that may get lost.

    name: what it is called in ledgers and in `x-engine-dropped`.
    path: where it lies in the canonical value.
    value, without: canonical values with it and without.
    plain: what means the same as nothing, so that losing it is no loss.
    """

    name: str
    path: str
    value: Mapping[str, Any]
    without: Mapping[str, Any]
    plain: tuple[Any, ...] = ()

    def find(self, value: Mapping[str, Any]) -> Any:
        """The thing in a canonical value; None where it is not in it."""
        return _FINDERS[self.path](value)

    def holds(self, value: Mapping[str, Any]) -> bool:
        """Whether a canonical value has the thing, and means something by it."""
        found = self.find(value)
        return found is not None and found not in self.plain


# --- where things lie

Finder = Callable[[Any], Any]


def finder(path: str) -> Finder:
    """The function that finds what lies at a path; the first that is there."""
    steps = path.replace("[", ".[").split(".")

    def find(value: Any, at: int = 0) -> Any:
        while at < len(steps):
            step = steps[at]
            at += 1
            if step.startswith("["):
                return _first(value, step[1:-1], at)
            if not isinstance(value, Mapping) or (value := value.get(step)) is None:
                return None
        return value

    def _first(items: Any, word: str, at: int) -> Any:
        if not isinstance(items, list):
            return None
        for item in items:
            if word and (not isinstance(item, Mapping) or word not in (item.get("type"), item.get("role"))):
                continue
            if (found := find(item, at)) is not None:
                return found
        return None

    return find


def _with(base: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`base` with a value at a path of plain keys; a key may be a number, for an element of a list."""
    return cast("dict[str, Any]", _changed(base, path.split("."), value))


def _changed(base: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(base, list):
        at = int(key)
        return [*base[:at], _changed(base[at], rest, value), *base[at + 1 :]]
    return {**base, key: _changed(base.get(key, {}), rest, value)}


# --- requests

_ASK: Final[dict[str, Any]] = {"operation": "chat", "model": "assistant", "messages": [_HI]}
_TOOLS: Final = {**_ASK, "tools": [_TOOL]}
_TURN: Final = {
    **_TOOLS,
    "messages": [_HI, {"role": "assistant", "content": [_CALL]}, {"role": "tool", "content": [_RESULT]}],
}
_ANSWERED: Final = {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}


def _field(name: str, value: Any, *plain: Any, base: Mapping[str, Any] = _ASK) -> Probe:
    return Probe(name, name, _with(base, name, value), base, plain)


def _part(name: str, part: Mapping[str, Any], key: str = "", role: str = "user") -> Probe:
    """A part of a message, or only its `key`, beside a text."""
    beside = {"type": "text", "text": "hi"}
    without = [beside, {k: v for k, v in part.items() if k != key}] if key else [beside]
    lead = [] if role == "user" else [_HI]

    def ask(content: list[Any]) -> dict[str, Any]:
        return {**_ASK, "messages": [*lead, {"role": role, "content": content}, *([_HI] if lead else [])]}

    path = f"messages[].content[{part['type']}]" + (f".{key}" if key else ".type")
    return Probe(name, path, ask([beside, part]), ask(without))


def _own_part(name: str, part: Mapping[str, Any], key: str) -> Probe:
    """A part that is itself without `key`: its path is that of the key, and it goes as a whole."""
    beside = {"type": "text", "text": "hi"}
    asked = {**_ASK, "messages": [{"role": "user", "content": [beside, part]}]}
    without = {**_ASK, "messages": [{"role": "user", "content": [beside]}]}
    return Probe(name, f"messages[].content[{part['type']}].{key}", asked, without)


def _result(name: str, path: str, change: Mapping[str, Any]) -> Probe:
    changed = _with(_TURN, "messages.2.content.0", {**_RESULT, **change})
    return Probe(name, f"messages[].content[tool_result].{path}", changed, _TURN)


def _tool(name: str, key: str, value: Any) -> Probe:
    bare = {k: v for k, v in _TOOL.items() if k != key}
    return Probe(name, f"tools[].{key}", {**_ASK, "tools": [{**bare, key: value}]}, {**_ASK, "tools": [bare]})


def _format(
    name: str, path: str, value: Mapping[str, Any], without: Mapping[str, Any] | None = None
) -> Probe:
    base = _ASK if without is None else {**_ASK, "response_format": without}
    return Probe(name, f"response_format.{path}", {**_ASK, "response_format": value}, base, ("text",))


_JSON_SCHEMA: Final = {"type": "json_schema", "name": "answer", "schema": _SCHEMA}

REQUESTS: Final[tuple[Probe, ...]] = (
    Probe(
        "messages.system",
        "messages[system].content[text].text",
        {**_ASK, "messages": [{"role": "system", "content": [{"type": "text", "text": _TEXT}]}, _HI]},
        _ASK,
    ),
    Probe(
        "messages.developer",
        "messages[developer].content[text].text",
        {**_ASK, "messages": [{"role": "developer", "content": [{"type": "text", "text": _TEXT}]}, _HI]},
        _ASK,
    ),
    Probe("messages.name", "messages[].name", _with(_ASK, "messages.0.name", "probe"), _ASK),
    _own_part("messages.image.url", {"type": "image", "url": "https://probe.example/a.png"}, "url"),
    _own_part("messages.image.data", {"type": "image", "data": _DATA, "media_type": "image/png"}, "data"),
    _part(
        "messages.image.detail",
        {"type": "image", "data": _DATA, "media_type": "image/png", "detail": "low"},
        "detail",
    ),
    _own_part("messages.audio", {"type": "audio", "data": _DATA, "format": "mp3"}, "data"),
    _own_part(
        "messages.file.data",
        {"type": "file", "data": _DATA, "media_type": "application/pdf", "filename": "a.pdf"},
        "data",
    ),
    _own_part("messages.file.url", {"type": "file", "url": "https://probe.example/a.pdf"}, "url"),
    _own_part("messages.file.file_id", {"type": "file", "file_id": "file-probe"}, "file_id"),
    _part(
        "messages.file.filename",
        {"type": "file", "data": _DATA, "media_type": "application/pdf", "filename": "probe.pdf"},
        "filename",
    ),
    _part("messages.cache", {"type": "text", "text": "hi", "cache": {"ttl": "1h"}}, "cache"),
    _part("messages.reasoning", {"type": "reasoning", "text": _TEXT}, role="assistant"),
    _part("messages.refusal", {"type": "refusal", "text": _TEXT}, role="assistant"),
    _part(
        "messages.native",
        {"type": "native", "origin": "probe", "provider_data": {"type": "probe"}},
        role="assistant",
    ),
    Probe(
        "messages.tool_call",
        "messages[].content[tool_call].arguments",
        _TURN,
        {**_TOOLS, "messages": [_HI, _ANSWERED, _HI]},
    ),
    Probe(
        "messages.tool_call.id",
        "messages[].content[tool_call].id",
        {
            **_TURN,
            "messages": [
                _HI,
                {"role": "assistant", "content": [{**_CALL, "id": "call_probe"}]},
                {"role": "tool", "content": [{**_RESULT, "id": "call_probe"}]},
            ],
        },
        _TURN,
    ),
    _result("messages.tool_result", "content[text].text", {"content": [{"type": "text", "text": _TEXT}]}),
    _result(
        "messages.tool_result.image",
        "content[image].data",
        {"content": [*_RESULT["content"], {"type": "image", "data": _DATA, "media_type": "image/png"}]},
    ),
    _result("messages.tool_result.is_error", "is_error", {"is_error": True}),
    Probe("tools", "tools[].name", _TOOLS, _ASK),
    _tool("tools.description", "description", _TEXT),
    _tool("tools.parameters", "parameters", _SCHEMA),
    _tool("tools.strict", "strict", True),
    _tool("tools.cache", "cache", {"ttl": "1h"}),
    Probe(
        "tools.hosted", "tools[].hosted", {**_ASK, "tools": [_TOOL, {"hosted": {"type": "probe"}}]}, _TOOLS
    ),
    *(
        Probe(f"tool_choice.{mode}", "tool_choice.mode", {**_TOOLS, "tool_choice": choice}, _TOOLS, ("auto",))
        for mode, choice in (("none", {"mode": "none"}), ("required", {"mode": "required"}))
    ),
    Probe(
        "tool_choice.named",
        "tool_choice.name",
        {
            **_TOOLS,
            "tools": [_TOOL, {**_TOOL, "name": "probe"}],
            "tool_choice": {"mode": "named", "name": "probe"},
        },
        {**_TOOLS, "tools": [_TOOL, {**_TOOL, "name": "probe"}]},
    ),
    _field("parallel_tool_calls", False, True, base=_TOOLS),
    _field("max_tokens", 3217),
    _field("temperature", 0.375),
    _field("top_p", 0.625),
    _field("top_k", 37),
    _field("min_p", 0.0625),
    _field("frequency_penalty", 0.375, 0),
    _field("presence_penalty", 0.625, 0),
    _field("repetition_penalty", 1.125, 1),
    _field("seed", 3217),
    _field("n", 2, 1),
    _field("stop", ["probe-stop"], []),
    _field("logprobs", True, False),
    Probe(
        "top_logprobs",
        "top_logprobs",
        {**_ASK, "logprobs": True, "top_logprobs": 3},
        {**_ASK, "logprobs": True},
        (0,),
    ),
    _field("logit_bias", {"3217": -7}, {}),
    _format("response_format.json_object", "type", {"type": "json_object"}),
    _format("response_format.json_schema", "schema", _JSON_SCHEMA),
    _format("response_format.name", "name", {**_JSON_SCHEMA, "name": "probe"}, _JSON_SCHEMA),
    _format("response_format.strict", "strict", {**_JSON_SCHEMA, "strict": True}, _JSON_SCHEMA),
    _format("response_format.regex", "pattern", {"type": "regex", "pattern": "probe"}),
    _field("reasoning.effort", "high", "none"),
    _field("reasoning.budget", 3217),
    _field("reasoning.summary", "detailed"),
    _field("verbosity", "low", "medium"),
    _field("user", "probe-user"),
    _field("metadata", {"probe": "yes"}, {}),
    _field("cache", {"ttl": "1h"}),
    _field("cache_key", "probe-key"),
    _field("service_tier", "flex", "auto", "default"),
    _field("store", True, False),
    _field("modalities", ["text", "audio"], ["text"]),
    Probe(
        "audio",
        "audio",
        {**_ASK, "modalities": ["text", "audio"], "audio": {"voice": "probe", "format": "wav"}},
        {**_ASK, "modalities": ["text", "audio"]},
    ),
    _field("prediction", {"type": "content", "content": "probe"}),
)


# --- answers

_SAYS: Final[dict[str, Any]] = {"type": "text", "text": "yes"}
_REPLY: Final[dict[str, Any]] = {
    "id": "reply-1",
    "created": 1_764_000_000,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": [_SAYS]}, "finish_reason": "stop"},
    ],
    "usage": {"input_tokens": 3217, "output_tokens": 7},
}


def _said(name: str, parts: Iterable[Mapping[str, Any]], path: str, *, key: str = "") -> Probe:
    """Parts of the answer; without the last one, or without its `key`."""
    told = list(parts)
    less = [*told[:-1], {k: v for k, v in told[-1].items() if k != key}] if key else told[:-1]
    at = "choices.0.message.content"
    return Probe(
        name,
        f"choices[].message.content[{told[-1]['type']}].{path}",
        _with(_REPLY, at, told),
        _with(_REPLY, at, less),
    )


def _count(name: str, value: int) -> Probe:
    return Probe(f"usage.{name}", f"usage.{name}", _with(_REPLY, f"usage.{name}", value), _REPLY, (0,))


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in _REPLY.items() if key != name}


_THOUGHT: Final = {"type": "reasoning", "text": _TEXT}
_CITED: Final = {
    **_SAYS,
    "citations": [{"url": "https://probe.example/", "title": "probe", "start": 0, "end": 3}],
}

REPLIES: Final[tuple[Probe, ...]] = (
    Probe("id", "id", _REPLY, _without("id")),
    Probe("created", "created", _REPLY, _without("created")),
    Probe("model", "model", _REPLY, _without("model")),
    _said("text", [{"type": "text", "text": _TEXT}], "text"),
    _said("text.citations", [_CITED], "citations[].url", key="citations"),
    _said("reasoning", [_SAYS, _THOUGHT], "text"),
    _said(
        "reasoning.signature",
        [_SAYS, {**_THOUGHT, "signature": _DATA, "origin": "probe"}],
        "signature",
        key="signature",
    ),
    _said("refusal", [_SAYS, {"type": "refusal", "text": _TEXT}], "text"),
    _said("tool_call", [_SAYS, _CALL], "arguments"),
    _said("tool_call.id", [_SAYS, _CALL], "id"),
    _said(
        "tool_call.signature",
        [_SAYS, {**_CALL, "signature": _DATA, "origin": "probe"}],
        "signature",
        key="signature",
    ),
    _said(
        "native", [_SAYS, {"type": "native", "origin": "probe", "provider_data": {"type": "probe"}}], "type"
    ),
    *(
        Probe(
            f"finish_reason.{reason}",
            "choices[].finish_reason",
            _with(_REPLY, "choices.0.finish_reason", reason),
            _REPLY,
        )
        for reason in ("length", "content_filter", "error")
    ),
    Probe(
        "logprobs",
        "choices[].logprobs",
        _with(
            _REPLY,
            "choices.0.logprobs",
            {"content": [{"token": "yes", "logprob": -0.375, "bytes": None, "top_logprobs": []}]},
        ),
        _REPLY,
    ),
    Probe(
        "usage.input_tokens", "usage.input_tokens", _REPLY, _with(_REPLY, "usage", {"output_tokens": 7}), (0,)
    ),
    Probe(
        "usage.output_tokens",
        "usage.output_tokens",
        _with(_REPLY, "usage.output_tokens", 3218),
        _with(_REPLY, "usage", {"input_tokens": 3217}),
        (0,),
    ),
    _count("cached_tokens", 1117),
    _count("cache_write_tokens", 1118),
    Probe(
        "usage.reasoning_tokens",
        "usage.reasoning_tokens",
        _with(_REPLY, "usage", {"input_tokens": 3217, "output_tokens": 70, "reasoning_tokens": 33}),
        _with(_REPLY, "usage", {"input_tokens": 3217, "output_tokens": 70}),
        (0,),
    ),
    Probe("service_tier", "service_tier", {**_REPLY, "service_tier": "flex"}, _REPLY, ("default",)),
)

_FINDERS: Final[dict[str, Finder]] = {probe.path: finder(probe.path) for probe in (*REQUESTS, *REPLIES)}
