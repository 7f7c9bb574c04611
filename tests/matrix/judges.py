"""Vendors' own types as judges: of what the fakes are asked, and of what they answer.

Where a vendor has an SDK, its types and parsers judge; watsonx, Replicate, Cloudflare and DashScope have none
of types that are worth it, and are judged by the fields that their references name (`takes` of the answers).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import aws
import cohere_request
import gemini_request
import ollama
import ollama_request
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from botocore.eventstream import EventStream
from botocore.parsers import EventStreamJSONParser, create_parser
from cohere.v2.types.v2chat_response import V2ChatResponse
from cohere.v2.types.v2chat_stream_response import V2ChatStreamResponse
from google.genai.types import GenerateContentResponse
from openai.types import Completion, completion_create_params
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import Response, ResponseStreamEvent, response_create_params
from strict import Judge, faults, strict, strict_model

#: The types of a request, and the package whose types are made strict for it.
ASKED: Final[dict[str, tuple[Any, str]]] = {
    "openai_chat": (chat_params.CompletionCreateParams, "openai.types"),
    "openai_responses": (response_create_params.ResponseCreateParams, "openai.types"),
    "openai_completions": (completion_create_params.CompletionCreateParams, "openai.types"),
    "anthropic_messages": (MessageCreateParams, "anthropic.types"),
}
FUNCTIONS: Final[dict[str, Judge]] = {
    "gemini": gemini_request.judge,
    "cohere_v2": cohere_request.judge,
    "ollama": ollama_request.judge,
}
#: Whole answers and events.
SAID: Final[dict[str, tuple[Any, Any]]] = {
    "openai_chat": (ChatCompletion, ChatCompletionChunk),
    "openai_responses": (Response, ResponseStreamEvent),
    "openai_completions": (Completion, Completion),
    "anthropic_messages": (Message, RawMessageStreamEvent),
    "gemini": (GenerateContentResponse, GenerateContentResponse),
    "cohere_v2": (V2ChatResponse, V2ChatStreamResponse),
    "ollama": (ollama.ChatResponse, ollama.ChatResponse),
}


@cache
def _request_judge(dialect: str) -> Judge:
    params, package = ASKED[dialect]
    return strict(params, package)


def request_faults(dialect: str, body: dict[str, Any], said: dict[str, Any]) -> list[str]:
    """What the vendor would have against the body of a request."""
    if dialect == "bedrock_converse":
        return aws.faults("Converse", body, modelId=said["model"])
    if dialect in ASKED:
        return faults(_request_judge(dialect), body)
    if dialect in FUNCTIONS:
        # The stream of `cohere_v2` is asked for in the body; the type is that of the rest.
        rest = {key: value for key, value in body.items() if key != "stream" or dialect == "ollama"}
        return _asserted(FUNCTIONS[dialect], rest)
    return list(_fields(body, said["takes"]))


def _asserted(judge: Judge, body: Any) -> list[str]:
    try:
        return faults(judge, body)
    except AssertionError as error:
        return [f"the body is refused: {error}"]


def _fields(body: Any, takes: dict[str, Any], at: str = "") -> Iterator[str]:
    """Fields that must be there and are not, and those that nobody knows."""
    if not isinstance(body, dict):
        yield f"{at or 'body'} is no map"
        return
    yield from (f"{at}{name} is missing" for name in takes["must"] if name not in body)
    yield from (f"{at}{name} is unknown" for name in body if name not in (*takes["must"], *takes["may"]))
    for name, inner in takes.items():
        if name not in ("must", "may"):
            yield from _fields(body.get(name), inner, f"{name}.")


@cache
def _answer_judges(dialect: str) -> tuple[Judge, Judge]:
    one, event = SAID[dialect]
    return strict_model(one), strict_model(event)


def answer_faults(dialect: str, body: dict[str, Any]) -> list[str]:
    """What the vendor's own client would have against a whole answer."""
    if dialect == "bedrock_converse":
        shape = aws.operation("Converse").output_shape
        raw = {"status_code": 200, "headers": {"x-amzn-requestid": "r"}, "body": json.dumps(body).encode()}
        parsed = create_parser("rest-json").parse(raw, shape)
        missing = [] if parsed.get("stopReason") else ["no stopReason was parsed"]
        return [*missing, *aws.walk(shape, body, "")]
    if dialect == "ollama":  # its types take any key and forget it
        unknown = body.keys() - ollama.ChatResponse.model_fields.keys()
        return [*faults(_answer_judges(dialect)[0], body), *(f"{name} is unknown" for name in unknown)]
    return faults(_answer_judges(dialect)[0], body) if dialect in SAID else []


def stream_faults(dialect: str, events: list[Any], data: bytes) -> list[str]:
    """What the vendor's own client would have against a stream: events, or bytes where it is binary."""
    if dialect == "bedrock_converse":
        return _botocore(data, len(events))
    if dialect not in SAID:
        return []
    judge = _answer_judges(dialect)[1]
    found: list[str] = []
    for event in events:
        if not isinstance(event, str) and not _is_aside(event):
            found += faults(judge, PATCHED.get(dialect, _same)(_plain(event)))
    return found


def _botocore(data: bytes, count: int) -> list[str]:
    shape = aws.operation("ConverseStream").output_shape.members["stream"]
    found = list(EventStream(Raw(data), shape, EventStreamJSONParser(), "ConverseStream"))
    faults = [] if len(found) == count else [f"{len(found)} events of {count}"]
    for event in found:
        ((kind, inner),) = event.items()
        faults += [f"{kind}.{name} is unknown" for name in set(inner) - set(shape.members[kind].members)]
    return faults


class Raw:
    """A body as botocore's event stream reads it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        yield self.data

    def close(self) -> None:
        """Nothing is open."""


def _is_aside(event: dict[str, Any]) -> bool:
    """One that the client does not read as an event: an error, or Anthropic's `ping`."""
    failed = event.get("error") is not None and "message" not in event
    return failed or event.get("$event") in ("error", "ping")


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if not key.startswith("$")}


def _same(event: dict[str, Any]) -> dict[str, Any]:
    return event


def _ended(event: dict[str, Any]) -> dict[str, Any]:
    """The SDK types a chunk of the old completions as an answer, which has ended."""
    ends = [{**each, "finish_reason": each["finish_reason"] or "stop"} for each in event["choices"]]
    return {**event, "choices": ends}


PATCHED: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {"openai_completions": _ended}
