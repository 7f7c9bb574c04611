"""Clients of the fault tests, byte for byte: what they ask in which format, and the gateway that they ask.

`calling` is a gateway with routes to a vendor that is silent, slow, or stops in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from harness import PROMPT, Gateway, gateway, provider_file, write_files

from engine.bench.faults.exchange import Seen
from engine.bench.faults.provider import Provider

_MESSAGES: Final = [{"role": "user", "content": PROMPT}]
_GEMINI: Final = "/v1beta/models/{model}:"

#: Formats in which clients ask: the path, that of a stream where it has one of its own, and the body.
FORMATS: Final[dict[str, tuple[str, str | None, dict[str, Any]]]] = {
    "openai_chat": ("/v1/chat/completions", None, {"messages": _MESSAGES}),
    "anthropic_messages": ("/v1/messages", None, {"max_tokens": 200, "messages": _MESSAGES}),
    "openai_responses": ("/v1/responses", None, {"input": PROMPT}),
    "openai_completions": ("/v1/completions", None, {"prompt": PROMPT}),
    "cohere_v2": ("/v2/chat", None, {"messages": _MESSAGES}),
    "ollama": ("/api/chat", None, {"messages": _MESSAGES}),
    "gemini": (
        _GEMINI + "generateContent",
        _GEMINI + "streamGenerateContent",
        {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    ),
    "bedrock_converse": (
        "/model/{model}/converse",
        "/model/{model}/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]},
    ),
}
#: What ends a stream.
ENDS: Final = {
    "openai_chat": b"[DONE]",
    "anthropic_messages": b"message_stop",
    "openai_responses": b"response.completed",
    "openai_completions": b"[DONE]",
    "cohere_v2": b"message-end",
    "ollama": b'"done":true',
    "gemini": b"finishReason",
    "bedrock_converse": b"messageStop",
}
#: Streams in which no bytes mean nothing: once one has begun, a FIN counts as leaving.
STRICT: Final = ("ollama", "bedrock_converse")

ROUTES: Final[dict[str, Any]] = {
    "ok": {"start": "ok"},
    "slow": {"start": "slow"},
    "paced": {"start": "paced"},
    "silent": {"start": "silent"},
    "stalls": {"start": "stalls"},
    **{  # one for each test: a rate limit pauses a deployment
        f"backoff-{how}": {"start": {"use": f"limited-{how}", "retry": {"extra": 1}}}
        for how in ("close", "reset")
    },
    "queued": {"start": "queued"},
    "narrow": {"start": "silent", "concurrent": {"most": 1, "queue": 5}},
}
SCRIPTS: Final = {
    "ok": "ok",
    "slow": "slow-300ms",
    "paced": "ok-paced",
    "silent": "silent",
    "stalls": "stall-20",
    "limited-close": "429-2s",
    "limited-reset": "429-2s#again",
    "queued": "silent#queued",
}


@contextlib.asynccontextmanager
async def calling(folder: Path) -> AsyncIterator[Gateway]:
    """The gateway, after a first request. FAULTS_KEY must be in the environment."""
    async with Provider() as vendor:
        deployments: dict[str, Any] = {name: {"provider": "vendor", "model": name} for name in SCRIPTS}
        deployments["queued"]["concurrent"] = {"most": 1, "queue": 5, "wait": "30s"}
        files = {
            "providers.d/vendor.yaml": provider_file(vendor.url, SCRIPTS),
            "routes/main.yaml": {"deployments": deployments, "routes": ROUTES},
        }
        async with gateway(write_files(folder, files), vendor) as made:
            await made.ask("ok")
            yield made


class Caller:
    """A connection of a client's, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.got = b""

    @classmethod
    async def connect(cls, started: Gateway, *, buffer: int | None = None) -> Caller:
        """buffer: of the socket's receiving side, in bytes; None = as the system has it."""
        host, _, port = started.running.address.rpartition(":")
        sock = socket.socket()
        sock.setblocking(False)
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        return cls(*await asyncio.open_connection(sock=sock, limit=2**16 if buffer is None else buffer))

    def ask(self, model: str, form: str = "openai_chat", *, stream: bool = False) -> None:
        path, streams, body = FORMATS[form]
        if streams is None:
            body = {"model": model, "stream": stream, **body}
        elif stream:
            path = streams
        data = json.dumps(body).encode()
        head = f"POST {path.format(model=model)} HTTP/1.1\r\nhost: localhost\r\n"
        head += f"content-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)

    async def until(self, text: str) -> None:
        """Read until this stands in what came."""
        async with asyncio.timeout(30):
            while text.encode() not in self.got:
                piece = await self.reader.read(65536)
                assert piece, self.got
                self.got += piece

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        async with asyncio.timeout(30):
            while piece := await self.reader.read(65536):
                self.got += piece
        return self.got

    def leave(self, how: str) -> None:
        """`close` sends a FIN, `reset` an RST."""
        if how == "reset":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def asked(started: Gateway, count: int) -> Seen:
    """The vendor's latest request, once there were so many."""
    (vendor,) = started.providers
    async with asyncio.timeout(30):
        while len(vendor.seen) < count:
            await asyncio.sleep(0.002)
    return vendor.seen[-1]
