"""The prebuilt bytes of the benchmarks, and just enough HTTP to count answers.

Load and fake upstream must cost next to nothing beside what is measured, so both are raw
`asyncio.Protocol`s over bytes that are made once; no HTTP library is in their way.
"""

from __future__ import annotations

import json

#: A chat answer of about 0.7 kB, as an OpenAI-compatible vendor sends it.
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench0000000000000000",
        "object": "chat.completion",
        "created": 1764000000,
        "model": "bench-model",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "The quick brown fox jumps over the lazy dog. " * 8,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 80,
            "total_tokens": 99,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "service_tier": "default",
    }
).encode()

WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
) + ANSWER

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One SSE event of an OpenAI stream."""
    body = {
        "id": "chatcmpl-bench0000000000000000",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "bench-model",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def _last() -> bytes:
    usage = {"prompt_tokens": 19, "completion_tokens": 100, "total_tokens": 119}
    body = {
        "id": "chatcmpl-bench0000000000000000",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "bench-model",
        "choices": [],
        "usage": usage,
    }
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\ndata: [DONE]\n\n"


STREAM_FIRST = http_chunk(stream_event({"role": "assistant", "content": ""}))
STREAM_TOKEN = http_chunk(stream_event({"content": " word"}))
STREAM_LAST = http_chunk(stream_event({}, "stop")) + http_chunk(_last()) + STREAM_END


def request(host: str, model: str, *, stream: bool = False, path: str = "/v1/chat/completions") -> bytes:
    """One request of the load, ready to write."""
    body = json.dumps(
        {
            "model": model,
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "Tell me about foxes and dogs, please."},
            ],
            "max_tokens": 100,
            **({"stream": True} if stream else {}),
        }
    ).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def content_length(head: bytes) -> int | None:
    """The content-length in a block of headers, None where there is none."""
    at = head.lower().find(b"content-length:")
    if at < 0:
        return None
    end = head.find(b"\r", at)
    return int(head[at + 15 : end if end >= 0 else len(head)])
