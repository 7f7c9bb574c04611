"""uvicorn's request and its answer, with the head kept back until there is a body to write it with."""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from engine.server import half_closed

#: Headers that say how an answer is written; all others are only passed on.
_FRAMING: Final = frozenset((b"content-length", b"content-type", b"connection"))


class Cycle(RequestResponseCycle):
    """One request and its answer. The head is kept back until there is a body to write it with.

    A whole answer so costs one write, and a stream's head goes out with its first event.
    """

    _head: bytes | None = None
    _events = False  # a stream of SSE, in which a comment may stand anywhere between events
    _taken = False  # the request's body was received to its end

    async def receive(self) -> Any:
        """As uvicorn's, but for a body that is whole already, as most are: nobody has to wait for it."""
        if self.more_body or self._taken or self.disconnected or self.response_complete:
            message = await super().receive()
            self._taken = not message.get("more_body", False)
            return message
        if self.waiting_for_100_continue:
            return await super().receive()
        self._taken = True
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """As uvicorn's, for the messages that this project's app sends."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._begin(message)
            return
        body: bytes = message.get("body", b"")
        last = not message.get("more_body", False)
        silent = self.scope["method"] == "HEAD"
        if self.chunked_encoding and not silent:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed + b"0\r\n\r\n" if last else framed
        elif not silent:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (last and self.expected_content_length):
                raise RuntimeError("the body is not as long as its content-length")
        if self._head is not None:
            body, self._head = self._head + (b"" if silent else body), None
        if body:
            self.transport.write(body)
        if last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _begin(self, message: Any) -> None:
        """Make the head. Names are lower-case already."""
        status = message["status"]
        pieces = [STATUS_LINE[status]]
        self.chunked_encoding = status not in (204, 304)
        for name, value in (*self.default_headers, *message["headers"]):
            if name in _FRAMING:
                if name == b"content-length":
                    self.expected_content_length = int(value)
                    self.chunked_encoding = False
                elif name == b"content-type":
                    self._events = value.startswith(b"text/event-stream")
                elif value == b"close":
                    self.keep_alive = False
                    continue
            pieces += (name, b": ", value, b"\r\n")
        if self.chunked_encoding:
            pieces += (b"transfer-encoding", b": ", b"chunked", b"\r\n")
        if not self.keep_alive:
            pieces += (b"connection", b": ", b"close", b"\r\n")
        pieces.append(b"\r\n")
        head = b"".join(pieces)
        lines = len(pieces) // 4 + 2  # four pieces a header, the status line and the empty one
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        self._head = head

    def idle_bytes(self) -> bytes | None:
        """Bytes that may be written now and mean nothing to the client; None where there are none."""
        if self.scope["http_version"] == "1.0":
            return None
        if not self.response_started or self._head is not None:
            return half_closed.BEFORE_ANSWER
        return half_closed.BETWEEN_EVENTS if self._events and self.chunked_encoding else None
