"""What goes to vendors that speak OpenAI's format, judged by each vendor's own SDK.

Their formats are near to OpenAI's and not the same: a provider file renames, drops and refuses. Every request
of the corpus goes through it, and what comes out must be a request of that vendor's SDK, or be refused with a
reason. What the file says its models cannot do is not sent at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import corpus
import pytest
from cerebras.cloud.sdk.types.chat import completion_create_params as cerebras
from fireworks.types.chat import completion_create_params as fireworks
from groq.types.chat import completion_create_params as groq
from mistralai.client.models import ChatCompletionRequest
from openai.types.chat import completion_create_params as openai
from strict import Judge, faults, strict, strict_model
from together.types.chat import completion_create_params as together

from engine.compiler.ledgers import vendor_write
from engine.compiler.load import load
from engine.compiler.vendors import Vendors
from engine.diagnostics import Diagnostics
from engine.errors import RequestError
from engine.runtime.views import RequestView
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect

#: Vendor -> a model of its, and its SDK's word for a request.
VENDORS: dict[str, tuple[str, Any, str]] = {
    "openai": ("gpt-4.1-mini", openai.CompletionCreateParamsNonStreaming, "openai.types"),
    "mistral": ("mistral-small-latest", ChatCompletionRequest, ""),
    "together": ("zai-org/GLM-5.3", together.CompletionCreateParamsNonStreaming, "together.types"),
    "groq": ("llama-3.1-8b-instant", groq.CompletionCreateParams, "groq.types"),
    "cerebras": ("gpt-oss-120b", cerebras.CompletionCreateParams, "cerebras.cloud.sdk.types"),
    "fireworks": (
        "accounts/fireworks/models/glm-5p3",
        fireworks.CompletionCreateParamsNonStreaming,
        "fireworks.types",
    ),
}


@cache
def judge(vendor: str) -> Judge:
    _, params, package = VENDORS[vendor]
    return strict(params, package) if package else strict_model(params)


@cache
def vendors() -> Vendors:
    out = Diagnostics()
    return Vendors(load(Path("/nonexistent"), None, Diagnostics()), (), out)


@cache
def writer(vendor: str) -> Any:
    found = vendors().vendor(vendor)
    assert found is not None
    dialect = vendors().dialect(found.provider.dialect or "")
    assert dialect is not None
    return vendor_write(found, BoundDialect(dialect), VENDORS[vendor][0])


def _together(body: dict[str, Any]) -> dict[str, Any]:
    """Its types want the positions of calls in requests too, which its examples leave out."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls", ())]
    for number, call in enumerate(calls):
        call["index"] = number
    if isinstance(body.get("tool_choice"), dict):
        body["tool_choice"] |= {"index": 0, "id": "x"}
        body["tool_choice"]["function"]["arguments"] = ""
    return body


#: What an SDK's types demand beyond what its vendor documents.
QUIRKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"together": _together}

#: Feature of a request -> the word in `can`.
_CAN = {"image": "images", "audio": "audio", "file": "files"}


def features(request: Request) -> set[str]:
    """What a request holds that not every model takes."""
    return {_CAN[each] for each in RequestView(request, "chat", None, {}, len).features if each in _CAN}


@cache
def abilities(vendor: str) -> set[str]:
    found = vendors().vendor(vendor)
    assert found is not None
    facts = found.models.facts(VENDORS[vendor][0]) or found.models.unlisted()
    return set(_CAN.values() if facts.can is None else facts.can)


def written(vendor: str, request: Request) -> tuple[dict[str, Any], str | None]:
    """The body that goes out, or why none does."""
    try:
        return writer(vendor)(request), None
    except RequestError as refused:
        return {}, refused.message


@cache
def reasons(vendor: str) -> set[str]:
    """Why the file, or the format, refuses requests."""
    found = vendors().vendor(vendor)
    assert found is not None
    dialect = vendors().dialect(found.provider.dialect or "")
    assert dialect is not None
    rules = (*found.provider.adjust, *dialect.operations["chat"].adjust)
    return {rule.why for rule in rules if rule.why is not None}


def cases() -> Iterator[tuple[str, str]]:
    for vendor in VENDORS:
        for name in corpus.names():
            yield vendor, name


@pytest.mark.parametrize(("vendor", "name"), list(cases()))
def test_every_request_is_one_of_the_vendors(vendor: str, name: str) -> None:
    request = corpus.request(name)
    if not features(request) <= abilities(vendor):
        return
    body, refused = written(vendor, request)
    if refused is not None:
        assert refused in reasons(vendor)
    else:
        assert faults(judge(vendor), QUIRKS.get(vendor, dict)(body)) == []


def test_most_of_the_corpus_is_sent() -> None:
    sent = [(vendor, name) for vendor, name in cases() if features(corpus.request(name)) <= abilities(vendor)]
    assert len(sent) > 0.85 * len(list(cases()))
