"""Faults inside a stream: cut, silent, malformed, strange but legal."""

from __future__ import annotations

import json
from typing import Any, Final

from engine.bench.faults.exchange import Exchange, chunk
from engine.bench.faults.fault import Play, fault, table
from engine.bench.faults.healthy import healthy
from engine.bench.faults.voices import OPENAI, sse

#: A line that no reader should hold.
HUGE_LINE: Final = 50 << 20


def _after(count: int, ends: str) -> Play:
    """Tokens, then what `ends` says: `fin`, `rst`, `end` (a whole body without its last events), `stall`.

    A call that is not streamed breaks at the same share of its body. One that asks for no more tokens than
    that (it goes on from a prefill) is answered.
    """

    async def play(exchange: Exchange) -> None:
        if exchange.prefill is not None and len(exchange.left) <= count:
            await healthy(exchange)
            return
        if exchange.streamed:
            await exchange.begin()
            await exchange.tokens(0, count)
        else:
            text = "".join(exchange.left)
            body = json.dumps(exchange.voice.whole(text, exchange.model, len(exchange.left))).encode()
            await exchange.head(200, "application/json")
            if count:
                await exchange.chunk(body[: len(body) * count // 60])
        if ends == "end":
            await exchange.last_chunk()
        elif ends == "fin":
            exchange.end()
        elif ends == "stall":
            await exchange.pause(30)
            exchange.end()
        else:
            await exchange.pause(0.2)  # a RST overtakes what the peer has not read yet
            exchange.reset()

    return play


async def _bad_event(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.tokens(0, 8)
    await exchange.pause(0.2)
    await exchange.chunk(sse(b'{"choices": [{"index": 0, "delta": {"content": " ste'))
    await exchange.tokens(9)
    await exchange.finish()


async def _extra_event(exchange: Exchange) -> None:
    """All tokens, and among them an event that is none."""
    await exchange.begin()
    await exchange.tokens(0, 8)
    await exchange.pause(0.2)
    await exchange.chunk(sse(b"{this is not JSON}"))
    await exchange.tokens(8)
    await exchange.finish()


async def _no_done(exchange: Exchange) -> None:
    """All but the sentinel, and the connection stays open."""
    await exchange.begin()
    await exchange.tokens()
    await exchange.chunk(exchange.voice.finish(exchange.model))
    await exchange.counts()
    await exchange.for_ever()


async def _no_done_closed(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.tokens()
    await exchange.chunk(exchange.voice.finish(exchange.model))
    await exchange.counts()
    await exchange.last_chunk()


async def _finish_only(exchange: Exchange) -> None:
    """The answer is complete; the usage, the sentinel and the end of the body never come."""
    await exchange.begin()
    await exchange.tokens()
    await exchange.chunk(exchange.voice.finish(exchange.model))
    await exchange.for_ever()


def _error_event(count: int) -> Play:
    async def play(exchange: Exchange) -> None:
        await exchange.head()
        if count:
            await exchange.chunk(exchange.voice.begin(exchange.model))
            await exchange.tokens(0, count)
            await exchange.pause(0.2)  # what comes at once with an error is never shown to a client
        await exchange.chunk(exchange.voice.error_event(503, "server_is_overloaded", "overloaded, try later"))
        await exchange.last_chunk()

    return play


async def _done_unfinished(exchange: Exchange) -> None:
    """What proxies make of a cut stream: the sentinel is there, the finish is not."""
    await exchange.begin()
    await exchange.tokens(0, 40)
    await exchange.pause(0.2)
    await exchange.chunk(exchange.voice.done())
    await exchange.last_chunk()


def _named_error(count: int) -> Play:
    """An event called `error` whose data is no error of the format."""

    async def play(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.tokens(0, count)
        await exchange.pause(0.2)
        await exchange.chunk(sse(b'{"message":"backend lost"}', "error"))
        await exchange.last_chunk()

    return play


async def _json_as_stream(exchange: Exchange) -> None:
    """An error's body under the content type of a stream."""
    await exchange.head()
    await exchange.chunk(json.dumps(exchange.voice.error(503, "server_is_overloaded", "later")).encode())
    await exchange.last_chunk()


async def _empty_answer(exchange: Exchange) -> None:
    """A finish without a word before it, or no choice at all."""
    if not exchange.streamed:
        body = exchange.voice.whole("", exchange.model, 0)
        await exchange.json(200, body | {"choices": [], "content": []})
        return
    await exchange.head()
    await exchange.chunk(exchange.voice.done())
    await exchange.last_chunk()


async def _huge_line(exchange: Exchange) -> None:
    await exchange.begin()
    await exchange.tokens(0, 2)
    await exchange.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "')
    piece = b"x" * (64 << 10)
    for _ in range(HUGE_LINE // len(piece)):
        await exchange.chunk(piece)
    await exchange.chunk(b'"}}]}\n\n')
    await exchange.finish()


def _stream(exchange: Exchange) -> list[bytes]:
    """All events of a healthy stream."""
    voice, model = exchange.voice, exchange.model
    tokens = [voice.token(text, model) for text in exchange.left]
    last = [voice.usage(model, len(exchange.left))] if exchange.wants_usage else []
    return [voice.begin(model), *tokens, voice.finish(model), *last, voice.done()]


def _lines(end: bytes, *, bom: bool = False, noise: bool = False) -> Play:
    """A healthy stream with other ends of lines, a byte order mark, comments and fields without data."""

    async def play(exchange: Exchange) -> None:
        await exchange.head()
        if bom:
            await exchange.chunk(b"\xef\xbb\xbf")
        for event in _stream(exchange):
            data = event.replace(b"\n", end)
            if noise:
                data = b": a comment" + end + b"retry: 3000" + end + b"id: 7" + end + data + b"data" + end * 2
            await exchange.chunk(data)
        await exchange.last_chunk()

    return play


async def _split_bytes(exchange: Exchange) -> None:
    """A text of many-byte characters, every byte a chunk of its own; the bytes are no ASCII escapes."""
    text = "Grüße, 世界 🙂!"
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}, ensure_ascii=False).encode()
    await exchange.begin()
    for byte in sse(event):
        await exchange.chunk(bytes((byte,)))
    await exchange.finish()


async def _bad_bytes(exchange: Exchange) -> None:
    """Bytes that are no UTF-8 inside a text."""
    await exchange.begin()
    await exchange.tokens(0, 3)
    await exchange.chunk(sse(b'{"choices":[{"index":0,"delta":{"content":" \xff\xfe\xc3("}}]}'))
    await exchange.tokens(3)
    await exchange.finish()


def _tools(*deltas: list[dict[str, Any]]) -> Play:
    """A stream of tool calls instead of a text (OpenAI's format)."""

    async def play(exchange: Exchange) -> None:
        await exchange.begin()
        for calls in deltas:
            await exchange.chunk(OPENAI.delta(exchange.model, {"tool_calls": calls}))
        await exchange.chunk(OPENAI.delta(exchange.model, {}, "tool_calls"))
        await exchange.counts()
        await exchange.chunk(OPENAI.done())
        await exchange.last_chunk()

    return play


def _call(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    if name is None:
        return {"index": index, "function": {"arguments": arguments}}
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function}


#: Arguments as they should arrive, by the fault's name.
ARGUMENTS: Final = {
    "tools-split": ['{"city":"São Paulo","days":[1,2]}'],
    "tools-interleaved": ['{"a":1,"b":2}', '{"c":3}'],
    "tools-malformed": ['{"city": Lisbon, "days": 2'],
}


def _usage(change: Any, *, after_done: bool = False) -> Play:
    """A healthy stream with another usage: None leaves it out, a map stands in its place."""

    async def play(exchange: Exchange) -> None:
        model = exchange.model
        counts = [] if change is None else [OPENAI.event(model, {"choices": [], "usage": change})]
        if not exchange.streamed:
            body = exchange.voice.whole("".join(exchange.left), model, len(exchange.left))
            body.pop("usage")
            await exchange.json(200, body if change is None else {**body, "usage": change})
            return
        await exchange.begin()
        await exchange.tokens()
        await exchange.chunk(OPENAI.finish(model))
        last = [OPENAI.done(), *counts] if after_done else [*counts, OPENAI.done()]
        await exchange.send(b"".join(map(chunk, last)))
        await exchange.last_chunk()

    return play


def _counts(given: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


async def _whole_for_a_stream(exchange: Exchange) -> None:
    exchange.streamed = False
    await healthy(exchange)


STREAMS: Final = table(
    fault("cut-10", "ten tokens, then a FIN inside the body", "U7", _after(10, "fin")),
    fault("cut-40", "forty of sixty tokens, then a FIN", "U7 S08 S14", _after(40, "fin")),
    fault("cut-0", "the first event, then a FIN", "U7", _after(0, "fin")),
    fault("reset-40", "forty tokens, then a RST", "U6", _after(40, "rst")),
    fault("ends-40", "forty tokens, then a proper end of the body, no finish", "U7", _after(40, "end")),
    fault("stall-20", "twenty tokens, then 30 s of silence, then a FIN", "U5 S09", _after(20, "stall")),
    fault("bad-event", "the tenth event is invalid JSON, the rest is fine", "S10", _bad_event),
    fault("extra-event", "an event too many that is no JSON; no token is lost", "S10", _extra_event),
    fault("no-done", "complete, but no `[DONE]`, and stays open", "S11", _no_done),
    fault("no-done-closed", "complete, but no `[DONE]`; the body ends", "S11", _no_done_closed),
    fault("finish-only", "complete by its finish; no usage, no `[DONE]`, open", "S11 U26", _finish_only),
    fault("error-first", "an error event before any content", "U13", _error_event(0)),
    fault("error-10", "ten tokens, then an error event", "U13", _error_event(10)),
    fault("done-40", "forty tokens, then the sentinel without a finish", "U7", _done_unfinished),
    fault("named-error-10", "ten tokens, then an event called `error`", "U13", _named_error(10)),
    fault("json-as-stream", "an error's body that says it is a stream", "U12", _json_as_stream),
    fault("empty", "an answer without any content", "U8", _empty_answer),
    fault("huge-line", "a line of 50 MB", "U10", _huge_line),
    fault("sse-crlf", "lines end with CRLF", "U11", _lines(b"\r\n")),
    fault("sse-cr", "lines end with CR", "U11", _lines(b"\r")),
    fault("sse-bom", "a byte order mark first", "U11", _lines(b"\n", bom=True)),
    fault("sse-noise", "comments, `retry:`, `id:`, empty data", "U11", _lines(b"\n", noise=True)),
    fault("utf8-split", "many-byte characters, a byte a chunk", "U9", _split_bytes),
    fault("utf8-bad", "bytes that are no UTF-8 in a text", "U9", _bad_bytes),
    fault("usage-none", "no usage", "U26", _usage(None)),
    fault("usage-zero", "usage of nothing", "U26", _usage(_counts(0, 0))),
    fault("usage-negative", "negative usage", "U26", _usage(_counts(-5, -60))),
    fault("usage-absurd", "usage of 10^15 tokens", "U26", _usage(_counts(12, 10**15))),
    fault("usage-words", "usage that is no number", "U26", _usage({"prompt_tokens": "many"})),
    fault("usage-late", "usage after `[DONE]`", "U26", _usage(_counts(12, 60), after_done=True)),
    fault("no-stream", "an answer in one piece to a streamed call", "U23", _whole_for_a_stream),
    fault(
        "tools-split", "a tool call whose arguments come a character an event", "U32",
        _tools([_call(0, "", "weather")], *([_call(0, piece)] for piece in ARGUMENTS["tools-split"][0])),
    ),
    fault(
        "tools-interleaved", "two tool calls whose arguments alternate", "U32",
        _tools(
            [_call(0, "", "first"), _call(1, "", "second")],
            [_call(1, '{"c"')], [_call(0, '{"a":1')], [_call(1, ":3}")], [_call(0, ',"b":2}')],
        ),
    ),
    fault(
        "tools-malformed", "arguments that are no JSON", "U32",
        _tools([_call(0, "", "weather")], [_call(0, ARGUMENTS["tools-malformed"][0])]),
    ),
)  # fmt: skip
