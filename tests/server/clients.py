"""One question in every format that clients may speak."""

from __future__ import annotations

from typing import Any

#: dialect -> path and body of a streamed request
STREAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": (
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Tell."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    "anthropic_messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "Tell."}], "stream": True, "max_tokens": 2000},
    ),
    "openai_responses": ("/v1/responses", {"input": "Tell.", "stream": True}),
    "openai_completions": ("/v1/completions", {"prompt": "Tell.", "stream": True}),
    "gemini": (
        "/v1beta/models/MODEL:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Tell."}]}]},
    ),
    "ollama": ("/api/chat", {"messages": [{"role": "user", "content": "Tell."}]}),
    "cohere_v2": ("/v2/chat", {"messages": [{"role": "user", "content": "Tell."}], "stream": True}),
    "bedrock_converse": (
        "/model/MODEL/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "Tell."}]}]},
    ),
}

#: The same, to be answered in one piece.
WHOLES: dict[str, tuple[str, dict[str, Any]]] = {
    name: (
        path.replace("streamGenerateContent?alt=sse", "generateContent").replace("-stream", ""),
        {**{key: value for key, value in body.items() if key != "stream_options"}, "stream": False}
        if name not in {"gemini", "bedrock_converse"}
        else body,
    )
    for name, (path, body) in STREAMS.items()
}
