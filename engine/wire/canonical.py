"""The canonical shapes: what every dialect is read into and written from.

They are plain dicts typed by `TypedDict`, because a template makes and reads dicts: an absent key is
an absent value, there is no `None` for "not given". The compiler derives the types of
template expressions from these very classes, and the reference page is generated from them.

The request is a chat in ordered parts (text, tool calls and reasoning in the order the model sees
or said them), the form that Anthropic, Bedrock, Gemini and Responses share; the OpenAI chat form, which puts
tool calls beside the content, is folded into it by its dialect.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from engine.policies.failures import FailureClass

Json = Any

Role = Literal["system", "developer", "user", "assistant", "tool"]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


PartType = Literal[
    "text", "image", "audio", "file", "reasoning", "refusal", "tool_call", "tool_result", "native"
]  # fmt: skip


class CacheMark(TypedDict, total=False):
    """Asks the vendor to cache the prompt up to and including the part that carries it."""

    ttl: str  # "5m" or "1h"


class Citation(TypedDict, total=False):
    """Where a stretch of the answer comes from."""

    url: str
    title: str
    text: str  # the quoted source text
    start: int  # characters into the text part, inclusive
    end: int  # exclusive
    provider_data: dict[str, Json]


class Part(TypedDict, total=False):
    """One piece of a message. `type` says which of the other keys may stand beside it."""

    type: PartType
    text: str  # text, reasoning, refusal
    citations: list[Citation]  # text
    url: str  # image, file: where it lies (fetched only for formats that want data)
    data: str  # image, audio, file: base64
    media_type: str  # image, audio, file: "image/png"
    detail: str  # image: low high auto
    format: str  # audio: wav mp3
    file_id: str  # file: the vendor's own handle
    filename: str  # file
    signature: str  # any part of an answer: what the vendor wants back unchanged
    redacted: str  # reasoning: an encrypted block, returned unchanged
    origin: str  # the dialect that made `signature`, `redacted`, `provider_data`: only it gets them back
    id: str  # tool_call, tool_result: the call's id; reasoning: the item's
    name: str  # tool_call, tool_result: the tool's name
    arguments: str  # tool_call: JSON text, as the model wrote it
    content: list[Part]  # tool_result
    is_error: bool  # tool_result
    cache: CacheMark
    provider_data: dict[str, Json]  # opaque; of a `native` part it is all there is: a vendor's own block


class Message(TypedDict, total=False):
    """One turn. A `tool` message holds `tool_result` parts only."""

    role: Role
    content: list[Part]
    name: str
    origin: str  # the dialect that made `provider_data`
    provider_data: dict[str, Json]


class Tool(TypedDict, total=False):
    """A function the model may call."""

    name: str
    description: str
    parameters: dict[str, Json]  # JSON Schema
    strict: bool
    cache: CacheMark
    hosted: dict[str, Json]  # a vendor's own tool instead of a function, as the client wrote it
    origin: str  # the dialect that `hosted` is written in: only it sends it


class ToolChoice(TypedDict, total=False):
    """How the model must use the tools."""

    mode: Literal["auto", "none", "required", "named"]
    name: str  # with `named`
    allowed: list[str]  # with `auto` and `required`: the only tools that may be called
    hosted: dict[str, Json]  # a choice that only the client's own format has, as the client wrote it
    origin: str  # the dialect that `hosted` is written in


class ResponseFormat(TypedDict, total=False):
    """What form the answer must have."""

    type: Literal["text", "json_object", "json_schema", "regex"]
    name: str
    description: str
    schema: dict[str, Json]
    strict: bool
    pattern: str  # with `regex` (local models)


class Reasoning(TypedDict, total=False):
    """How much the model may think before it answers."""

    effort: Effort
    budget: int  # tokens
    summary: str  # auto concise detailed


class Request(TypedDict, total=False):
    """One chat request. `model` is the name the client asked for."""

    operation: Literal["chat"]
    model: str
    messages: list[Message]
    tools: list[Tool]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    frequency_penalty: float
    presence_penalty: float
    repetition_penalty: float
    seed: int
    n: int
    stop: list[str]
    logprobs: bool
    top_logprobs: int
    logit_bias: dict[str, float]
    response_format: ResponseFormat
    reasoning: Reasoning
    verbosity: str
    stream: bool
    include_usage: bool  # the client wants the usage event in its stream
    user: str
    metadata: dict[str, str]
    conversation: str
    cache: CacheMark  # of the whole prompt
    cache_key: str
    service_tier: str
    store: bool
    modalities: list[str]
    audio: dict[str, Json]
    prediction: dict[str, Json]
    extra: dict[str, Json]  # fields the ingress dialect does not name; only passthrough keeps them


class Usage(TypedDict, total=False):
    """Tokens of one call. `input_tokens` counts all input, cached too; `output_tokens` all, reasoning too."""

    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int  # of these, the ones to be kept for an hour
    output_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    search_units: int  # rerank: what the vendor bills; a model's `request_price` is for each
    tool_uses: dict[str, int]  # of tools that the vendor ran, by their names: how often each was used
    cost: float  # USD, only where the vendor itself says it
    estimated: bool  # counted by us because the vendor said nothing


class Choice(TypedDict, total=False):
    """One answer of a reply."""

    index: int
    message: Message
    finish_reason: FinishReason
    native_finish_reason: str
    logprobs: Json


class Reply(TypedDict, total=False):
    """A whole answer."""

    id: str
    created: int  # Unix seconds
    model: str  # the model that served, by our name
    choices: list[Choice]
    usage: Usage
    service_tier: str
    provider_data: dict[str, Json]


class Served(TypedDict, total=False):
    """How a stream was served. In its usage event, because the headers of a stream go out before its cost is
    known; OpenAI's clients find it as `x_engine` of the last chunk, if they ask for usage.
    """

    cost: float  # US dollars over all calls of the request, six decimals: what `x-engine-cost` says elsewhere
    deployment: str  # absent where the route answered by itself
    calls: int


class Event(TypedDict, total=False):
    """One event of a stream. A stream is `start`, content, one `finish` a choice, and exactly one `usage`.

    `tool_call` opens a call (`id`, `name`), `tool_arguments` appends to it; both carry the call's
    `index` within the choice.
    """

    type: Literal[
        "start",
        "text",
        "reasoning",
        "refusal",
        "tool_call",
        "tool_arguments",
        "citation",
        "native",
        "logprobs",
        "audio",
        "finish",
        "usage",
        "error",
    ]
    choice: int  # default 0
    index: int  # tool calls: which call
    id: str  # start: the answer's id; tool_call: the call's
    model: str  # start
    created: int  # start
    service_tier: str  # start
    text: str  # text, reasoning, refusal
    signature: str  # text, reasoning, tool_call: ends its part
    redacted: str  # reasoning
    origin: str  # as in `Part`
    provider_data: dict[str, Json]  # tool_call, native: as in `Part`
    name: str  # tool_call
    arguments: str  # tool_arguments: the next piece of JSON text
    citation: Citation
    logprobs: Json
    audio: dict[str, Json]
    finish_reason: FinishReason
    native_finish_reason: str
    usage: Usage  # usage; start: what is known of it by then
    served: Served  # usage
    error: Error


class Error(TypedDict, total=False):
    """A failed call as the vendor told it, classified."""

    failure: FailureClass  # one of docs/failures.md
    status: int  # HTTP, where there was one
    message: str  # the vendor's own words, masked before they reach a client
    code: str
    type: str
    param: str
    retry_after_ms: int
    should_retry: bool  # the vendor said whether it is worth repeating
    unsent: bool  # True: nothing of the call went out, so nobody can bill it


#: Events that carry content: the first of them ends `timeout.first_token` and is the commit point.
CONTENT_EVENTS = frozenset({"text", "reasoning", "refusal", "tool_call", "tool_arguments", "audio"})
