"""What people write is data: every text comes through every pair of formats byte for byte, there and back.

No sockets: a client's body is read and written for the vendor, the vendor's answer is read and written for
the client, whole and streamed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import orjson
import pytest
from dialect import Shipped
from fakes import DIALECTS, TEXT, answers, encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.wire.canonical import Reply, Request
from engine.wire.whole import Collector

TEXTS: Final = {
    "a number": "123",
    "a list": "[1]",
    "None": "None",
    "null": "null",
    "a boolean": "true",
    "a variable": "{{ x }}",
    "our own hole": "${{ secrets.OPENAI_API_KEY }}",
    "a loop": "{% for i in range(10 ** 9) %}{% endfor %}",
    "a way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "lone braces": "} {{ }} {",
    "a directive": '{"$if": "true", "$then": "x"}',
    "an end of a stream": "data: [DONE]\n\nevent: error\ndata: {}\n\n",
    "signs of lines": "a\r\nb\u2028c\u2029d\x85e\tf",
    "quotes and escapes": "\"'\\ \\n \\u0041 &amp; %20",
    "a role": "\n\nHuman: hi\n\nAssistant: User:",
    "emoji": "👩‍👩‍👧‍👦 é ß 漢字 עברית \U0001f1ea\U0001f1fa",
    "a line of a stream, nearly": "0123456789abcdeé" * 40_000,
}

#: A conversation in each client's format: `<system>`, `<said>` and `<user>` stand for texts.
SAID: Final[dict[str, dict[str, Any]]] = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "<system>"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": "<said>"},
            {"role": "user", "content": "<user>"},
        ],
    },
    "openai_responses": {
        "model": "m",
        "instructions": "<system>",
        "input": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "<said>"},
            {"role": "user", "content": [{"type": "input_text", "text": "<user>"}]},
        ],
    },
    "openai_completions": {"model": "m", "prompt": "<user>"},
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 9,
        "system": "<system>",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "<said>"},
            {"role": "user", "content": [{"type": "text", "text": "<user>"}]},
        ],
    },
    "gemini": {
        "model": "m",
        "systemInstruction": {"parts": [{"text": "<system>"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "<said>"}]},
            {"role": "user", "parts": [{"text": "<user>"}]},
        ],
    },
    "bedrock_converse": {
        "model": "m",
        "system": [{"text": "<system>"}],
        "messages": [
            {"role": "user", "content": [{"text": "hi"}]},
            {"role": "assistant", "content": [{"text": "<said>"}]},
            {"role": "user", "content": [{"text": "<user>"}]},
        ],
    },
    "cohere_v2": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "<system>"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "<said>"},
            {"role": "user", "content": "<user>"},
        ],
    },
    "ollama": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "<system>"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "<said>"},
            {"role": "user", "content": "<user>"},
        ],
    },
}
#: The old completions take one prompt, so they get only what is one.
PAIRS: Final = [
    (client, vendor)
    for client in SAID
    for vendor in DIALECTS
    if vendor != "openai_completions" or client == "openai_completions"
]


@cache
def shipped(name: str) -> Shipped:
    return Shipped(name)


def put(value: Any, texts: dict[str, str]) -> Any:
    """The value with texts in their places."""
    if isinstance(value, dict):
        return {key: put(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        if "".join(item for item in value if isinstance(item, str)) in texts:
            return [texts["".join(value)]]
        return [put(item, texts) for item in value]
    return texts.get(value, value) if isinstance(value, str) else value


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def goes_out(client: str, vendor: str, text: str) -> None:
    """What a client says is in what the vendor is asked."""
    places = {f"<{name}>": f"{name}: {text}" for name in ("system", "said")}
    body = put(SAID[client], {**places, "<user>": text})
    read: Any = shipped(client).read(orjson.loads(json.dumps(body)))
    sent = shipped(vendor).write(read)
    told = list(strings(sent))
    for place, want in (*places.items(), ("<user>", text)):
        if place in str(SAID[client]):
            assert any(want in each for each in told), f"{place}: {want[:80]!r}"


def comes_back(client: str, vendor: str, text: str) -> None:
    """What a vendor answers is what the client gets, whole and streamed."""
    said = answers(vendor)
    bound = shipped(vendor).bound
    reply = bound.read_response("chat", put(said["text"], {TEXT: text}), {})
    assert text in list(strings(shipped(client).answer(reply)))
    events = put(said["text_stream"], {"Größe: ": text, "Paris 👋.": "", TEXT: text})
    reader = bound.stream_reader("chat")
    found = reader.feed(encoded(vendor, events)) + reader.eof()
    shown = shipped(client).stream(found, Request(stream=True, include_usage=True))
    collector = Collector()
    collector.add(shipped(client).events(shown))
    heard: Reply = collector.reply(created=0)
    (choice,) = heard["choices"]
    parts = choice["message"]["content"]
    assert "".join(part["text"] for part in parts if part["type"] == "text") == (
        # An event stream of bare text, as Replicate's is, has one kind of line break.
        text if vendor != "replicate" else text.replace("\r\n", "\n").replace("\r", "\n")
    )


@pytest.mark.parametrize(("client", "vendor"), PAIRS, ids=[" to ".join(pair) for pair in PAIRS])
def test_texts_come_through(client: str, vendor: str) -> None:
    for name, text in TEXTS.items():
        try:
            goes_out(client, vendor, text)
            comes_back(client, vendor, text)
        except AssertionError as error:
            error.add_note(f"the text is {name}")
            raise


def test_nothing_is_left_out() -> None:
    offered = {name for name in DIALECTS if shipped(name).bound.operation("chat").plan.ingress}
    assert set(SAID) == offered


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
)
def test_any_text_comes_through(text: str) -> None:
    for client, vendor in PAIRS:
        goes_out(client, vendor, text)
        comes_back(client, vendor, text)
