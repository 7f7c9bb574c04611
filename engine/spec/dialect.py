"""`providers.d/dialects/NAME.yaml`: one wire format, in both directions.

Templates (`read`, `write`, `path`, ...) are kept as written: their structure is the compiler's own language
(`$if $switch $let $merge $for`, and `${{ expr }}` as a leaf), checked and lowered by `compiler/expr`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import PlainValidator, WithJsonSchema, model_validator

from engine.plan.values import OperationName
from engine.policies.failures import FailureClass
from engine.spec.adjust import AdjustSpec
from engine.spec.amounts import Size
from engine.spec.containers import Listed
from engine.spec.costs import CostsSpec
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.plain import Flag, JsonValue, Positive, Text
from engine.spec.poll import PollSpec

Template = JsonValue

Ability = Literal[
    "tools", "parallel_tools", "json_object", "json_schema", "images", "audio", "files", "reasoning",
    "prefill", "stream", "logprobs",
]  # fmt: skip


#: A part of a path that may be any text.
_VARIABLE: Final = re.compile(r"\{[a-z][a-z_]*\}")


def _path(value: Any) -> str:
    if (
        not isinstance(value, str)
        or not value.startswith("/")
        or any(c.isspace() or c in "?#" for c in value)
    ):
        raise wrong_type(value, "a path that begins with /", "/v1/chat/completions")
    return value


def _own_path(value: Any) -> str:
    """A path of the sidecar's. `{name}` in it stands for any text, one at most."""
    path = _path(value)
    names = _VARIABLE.findall(path)
    if len(names) > 1 or _VARIABLE.sub("", path).count("{") or _VARIABLE.sub("", path).count("}"):
        raise wrong_type(value, "a path with one {name} in it at most", "/v1/models/{model}:generateContent")
    return path


OwnPath = Annotated[
    str,
    PlainValidator(_own_path),
    WithJsonSchema({"type": "string", "pattern": r"^/[^\s?#]*$", "examples": ["/v1/x", "/v1/{model}:x"]}),
]

UrlPath = Annotated[
    str,
    PlainValidator(_path),
    WithJsonSchema({"type": "string", "pattern": r"^/[^\s?#]*$", "examples": ["/v1/x"]}),
]


def _field_name(value: Any) -> str | Literal[False]:
    if value is False or (isinstance(value, str) and value):
        return value
    raise wrong_type(value, "the name of a field, or false where there is none", "model")


FieldName = Annotated[
    str | Literal[False],
    PlainValidator(_field_name),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"const": False}]}),
]


def _statuses(value: Any) -> tuple[int, ...]:
    """`402`, `[500, 502]`, `5xx` or `"500-599"` as the statuses they mean."""
    found: list[int] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, int) and not isinstance(item, bool) and 100 <= item <= 599:
            found.append(item)
            continue
        text = item if isinstance(item, str) else ""
        if len(text) == 3 and text[0] in "12345" and text[1:] == "xx":
            found.extend(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
            continue
        low, dash, high = text.partition("-")
        if dash and low.isdigit() and high.isdigit() and 100 <= int(low) <= int(high) <= 599:
            found.extend(range(int(low), int(high) + 1))
            continue
        raise wrong_type(
            item, "an HTTP status, several in a list, a range or 5xx", "429, [500, 502], 500-504 or 5xx"
        )
    return tuple(dict.fromkeys(found))


Statuses = Annotated[
    tuple[int, ...],
    PlainValidator(_statuses),
    WithJsonSchema(
        {
            "description": "An HTTP status, a list of them, a range such as 500-504, or 5xx.",
            "anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "array"}],
        }
    ),
]


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise wrong_type(item, "a text or a list of texts")
    return tuple(str(item) for item in items)


Texts = Annotated[
    tuple[str, ...],
    PlainValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": ["string", "integer"]}, {"type": "array"}]}),
]


def _regex(value: Any) -> str:
    import re2  # deferred: only files with error rules pay for it

    if not isinstance(value, str) or not value:
        raise wrong_type(value, "a regular expression (RE2)")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise fault(
            "E406", f"{shown(value)} is not a regular expression that RE2 runs: {reason}",
            "RE2 has no look-around and no back-references; write it without",
        ) from None  # fmt: skip
    return value


Regex = Annotated[str, PlainValidator(_regex), WithJsonSchema({"type": "string", "format": "regex"})]


class ErrorRuleSpec(Spec):
    """One rule from a failed answer to a failure class: all it names must hold, and the first such wins."""

    noun: ClassVar[str] = "error rule"

    status: Statuses | None = about(
        "HTTP statuses that it is for. Default: any, also errors inside a stream."
    )
    path: Text | None = about(
        "Dotted path into the error body, like `error.code`; `*` stands for any member."
    )
    header: Text | None = about("A header of the answer to look at instead of the body.")
    told: Literal["message", "code", "type", "param"] | None = about(
        "What `errors.read` makes of the body, to look at instead of a path: vendors of one format put the"
        " same thing in different places."
    )
    equals: Texts | None = about("The value is one of these.")
    matches: Regex | None = about("The value holds a match of this regular expression (RE2).")
    failure: FailureClass = about("The failure class.", required=True, alias="class")

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        placed = self.path is not None or self.header is not None or self.told is not None
        if self.equals is not None and not placed:
            raise fault(
                "E424",
                "`equals` names no place, so the rule would not look at it",
                "say where: `path: error.code`, `told: code` or `header: NAME`",
                at=("equals",),
            )
        if not placed and self.status is None and self.matches is None:
            raise fault(
                "E424",
                "the rule names nothing that must hold, so it would never match",
                "give it `status`, `path`, `told`, `header` or `matches`; what no rule knows is"
                " `errors.default`",
            )
        return self


class RequestSpec(Spec):
    """A request, both ways."""

    noun: ClassVar[str] = "request"

    check: JsonValue = about("The shape that a client's body must have: see `wire/shape.py`'s words.")
    read: Template = about("A client's body into the canonical request. Sees `body`, `headers`.")
    write: Template = about(
        "A canonical request into the vendor's body. Sees `request`, `facts`, `target`, `provider`."
    )


class ResponseSpec(Spec):
    """A whole answer, both ways."""

    noun: ClassVar[str] = "response"

    success_when: Text | None = about(
        "Holds for an answer that is one; vendors that answer 200 with an error need it."
        " Sees `body`, `headers`, `status`.",
        shown="every 2xx",
    )
    raw_when: Text | None = about(
        "Holds for an answer that a client of this same format may get byte for byte; others are read and"
        " written anew. Sees `body`, `request`.",
        shown="every answer",
    )
    read: Template = about("A vendor's body into the canonical reply. Sees `body`, `headers`, `status`.")
    write: Template = about("A canonical reply into the client's body. Sees `reply`, `request`.")


class StreamRuleSpec(Spec):
    """One rule over the events of a stream: where `when` holds, `set` the state, then `emit`."""

    noun: ClassVar[str] = "stream rule"

    when: Text | None = about(
        "An expression over `event`, `state` and `name`, the name that the event has outside its data.",
        shown="always",
    )
    put: dict[str, Template] | None = about("New values of declared state.", alias="set")
    emit: Template = about("An event, a list of events, or nothing. Several: a list.")
    error: Template = about(
        "The vendor's error in this event: ends the stream. What it makes is classified in the event's place"
        " if it has an `error`, as an error body has."
    )
    end: Flag | None = about("This event ends the stream.", shown="false")
    go_on: Flag | None = about("Try the rules after this one too.", alias="continue", shown="false")


class StreamOptionsSpec(Spec):
    """What the decoder of a stream does beside its format."""

    noun: ClassVar[str] = "stream options"

    data: Literal["json", "text"] | None = about(
        "`text` (sse): the data of an event is no JSON; the event that rules see is `{data: TEXT}`.",
        shown="json",
    )
    line: Size | None = about(
        "Longest line that is read (sse, ndjson): whoever sends a longer one is broken off.", shown="1MiB"
    )
    inner: Literal["base64-json"] | None = about(
        "`base64-json` (aws_eventstream): the event is base64 in the payload's `bytes`."
    )


class StreamReadSpec(Spec):
    """A vendor's stream into canonical events."""

    noun: ClassVar[str] = "stream read"

    decoder: Literal["sse", "ndjson", "aws_eventstream", "json_array"] = about(
        "How bytes become events.", default="sse"
    )
    options: StreamOptionsSpec | None = about("Options of the decoder.")
    sentinel: Text | None = about("Data that ends the stream without being an event, like `[DONE]`.")
    at_sentinel: Template = about(
        "The events that the sentinel stands for, where the format has no finish of its own. Sees `state`."
    )
    state: dict[str, JsonValue] | None = about("State and its first values.")
    rules: Listed[StreamRuleSpec] = about("Tried in order; the first that holds applies.", required=True)
    look_for: Listed[Regex] | None = about(
        "Regular expressions (RE2) over an event's bytes, its framing included. A client of this same format"
        " is given the bytes as they came; of those, events after the first content that hold no match are"
        " not even parsed. Every event must match that holds a finish reason, usage, an error, content of a"
        " further choice, or anything that `complete` needs; the samples are run both ways.",
        shown="every event is parsed",
    )
    complete: Text | None = about(
        "Holds once the answer is whole: an end before it is a cut. Sees `state`.",
        shown="a `finish` for each choice",
    )


class StreamWriteSpec(Spec):
    """Canonical events into a client's stream."""

    noun: ClassVar[str] = "stream write"

    encoder: Literal["sse", "ndjson", "aws_eventstream"] = about(
        "How events become bytes. `aws_eventstream`: an event's name is the one key around it.", default="sse"
    )
    sentinel: Text | None = about("Data written last, like `[DONE]`.")
    ending: dict[str, JsonValue] | None = about(
        "The event that ends a stream whose bytes pass through, where its upstream left its own out. Without "
        "it, that is the sentinel.",
        examples=[{"type": "message_stop"}],
    )
    named_events: Flag | None = about("Write SSE `event:` from the body's `type`.", shown="false")
    numbered: Text | None = about("A field that every event is given: how many were written before it.")
    state: dict[str, JsonValue] | None = about("State and its first values.")
    rules: Listed[StreamRuleSpec] = about("Tried in order; the first that holds applies.", required=True)
    error: Template = about(
        "The event that tells a client of a failure. Sees `event`, `state`, `request`.", required=True
    )


class StreamSpec(Spec):
    """A stream, both ways."""

    noun: ClassVar[str] = "stream"

    read: StreamReadSpec | None = about("A vendor's stream into canonical events.")
    write: StreamWriteSpec | None = about("Canonical events into a client's stream.")


class InlineSpec(Spec):
    """What a format takes as data only. The engine fetches it, where engine.yaml allows that (`media`)."""

    noun: ClassVar[str] = "inline"

    images: Flag | None = about("Images named by an http(s) URL are fetched.", shown="false")
    files: Flag | None = about("Files are.", shown="false")
    max: Size | None = about("Largest of them.", shown="5MiB")


class OperationSpec(Spec):
    """One operation of a dialect."""

    noun: ClassVar[str] = "operation"

    path: Template = about("Path after the provider's base URL. Sees `target`, `provider`.", required=True)
    stream_path: Template = about("Path of a streamed call, where it has its own.", shown="as `path`")
    ingress: Listed[OwnPath] | None = about(
        "The sidecar's own paths that take this format. A `{model}` in one is put into the body, as the"
        " field of that name, before `request.check`."
    )
    stream_ingress: Listed[OwnPath] | None = about(
        "Those that ask for a stream by being called: `stream` is put into the body too."
    )
    headers: dict[str, Template] | None = about("Headers of every call. See `target`, `provider`.")
    model_field: FieldName | None = about(
        "Body field that holds the model: what a passthrough sets. `false`: none, it stands in the path.",
        shown="model",
    )
    stream_field: FieldName | None = about(
        "Body field that asks for a stream. `false`: none, a stream has a path of its own.", shown="stream"
    )
    stream_default: Flag | None = about(
        "Without `stream_field` an answer is streamed: the field is then always written.", shown="false"
    )
    max_tokens_fields: Listed[Text] | None = about(
        "Body fields that limit the output (`options.num_predict` is one in a map); the first is the one"
        " written."
    )
    usage_request: dict[str, JsonValue] | None = about("Body fields that ask a stream for its usage.")
    forward: Listed[Text] | None = about(
        "Headers of a client of this same format that go along where its body passes through, in place of"
        " those of `headers`."
    )
    native_only: Listed[Text] | None = about(
        "Fields of a client's body that mean nothing outside this format: a request that has one goes only "
        "to targets that speak it."
    )
    adjust: Listed[AdjustSpec] | None = about(
        "What becomes of requests that the format cannot carry as they are: rules in order, before `write`."
    )
    batch: Positive | None = about(
        "Embeddings: most inputs of one call; a request with more becomes several calls, put together again.",
        shown="no limit",
    )
    request: RequestSpec = about("The request, both ways.", required=True)
    response: ResponseSpec = about("The whole answer, both ways.", required=True)
    stream: StreamSpec | None = about("The streamed answer, both ways.")
    inline: InlineSpec | None = about("What the format takes as data only, and a request may name by URL.")
    poll: PollSpec | None = about("The vendor takes a call as a job: how to learn what became of it.")


class ErrorTypeSpec(Spec):
    """What a failure is called in this format."""

    noun: ClassVar[str] = "error type"

    status: Annotated[int, PlainValidator(lambda v: _statuses(v)[0])] | None = about(
        "HTTP status.", shown="the engine's own for the class"
    )
    type: Text | None = about("The format's `type`.")
    code: Text | None = about("The format's `code`.", shown="the engine's own for the class")


class ErrorsSpec(Spec):
    """Errors, both ways."""

    noun: ClassVar[str] = "errors"

    rules: Listed[ErrorRuleSpec] | None = about("From a failed answer to a failure class, in order.")
    default: Literal["by_status"] | FailureClass | None = about(
        "The class of what no rule knows; needed beside `rules`. `by_status`: what its HTTP status means;"
        " `server` in a stream, which has none."
    )
    read: Template = about(
        "A vendor's error body into message, code, type, param. Sees `body`, `headers`, `status`."
    )
    write: Template = about("A failure as this format's body. Sees `error`.")
    types: dict[str, ErrorTypeSpec] | None = about(
        "Failure class to what it is called here; `default` is for those that are not listed. Also "
        "`invalid_key` (nobody knows the client's key) and `key_not_allowed` (it may not do that)."
    )


class UsageSpec(Spec):
    """What the format's counts mean."""

    noun: ClassVar[str] = "usage"

    input_includes_cached: Flag | None = about("Cached tokens are part of the input count.", shown="true")
    output_includes_reasoning: Flag | None = about(
        "Reasoning tokens are part of the output count.", shown="true"
    )


class ModelsSpec(Spec):
    """The list of models, written."""

    noun: ClassVar[str] = "models"

    write: Template = about(
        "The list's body. Sees `models`: each has `id`, `owned_by`, `created`.", required=True
    )


class DialectSample(Spec):
    """An example with what it must become; `engine providers check` and the tests run it."""

    noun: ClassVar[str] = "dialect sample"

    name: Text = about("What it shows.", required=True)
    operation: Text | None = about("The operation.", shown="chat")
    request: JsonValue = about("A client's body.")
    asks: JsonValue = about("A canonical request.")
    model: Text | None = about("The vendor's model that `asks` goes to.", shown="the request's")
    sends: JsonValue = about("What goes over the wire for `asks`.")
    response: JsonValue = about("A vendor's body.")
    stream: Listed[JsonValue] | None = about(
        "A vendor's events, data by data; `$event` beside an event's members is its name, `$exception` that"
        " of a failure, `$data` data that is no map."
    )
    error: JsonValue = about("A vendor's error body.")
    status: int | None = about("HTTP status of `error`.", shown="400")
    headers: dict[str, Text] | None = about("Headers of `error`.")
    gives: JsonValue = about("What it reads as: canonical request, reply, events, or error; named keys only.")
    refused: Text | None = about(
        "The request is refused, and this is the field at fault; of `asks`, the words of the rule that does."
    )


class DialectSpec(Spec):
    """A dialect file."""

    noun: ClassVar[str] = "dialect"

    extends: Name | None = about("Dialect to start from; what stands here is put over it.")
    replace: Flag | None = about("Replace the built-in dialect of this name.", shown="false")
    title: Text | None = about("Its name for people.")
    can: Listed[Ability] = about("What the format can carry.", required=True)
    finish: dict[str, Literal["stop", "length", "tool_calls", "content_filter", "error"]] = about(
        "The format's finish reasons to the engine's.", required=True
    )
    usage: UsageSpec | None = about("What its counts mean.")
    costs: CostsSpec | None = about("What its requests may cost beside their tokens.")
    blocks: dict[Name, Template] | None = about("Pieces of templates by name, for `$use`.")
    operations: dict[OperationName, OperationSpec] = about("Its operations.", required=True)
    errors: ErrorsSpec | None = about("Errors, both ways.")
    models: ModelsSpec | None = about("The list of models.")
    samples: Listed[DialectSample] | None = about("Examples that are tests.")
