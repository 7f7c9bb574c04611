"""What the parent and a worker say to one another: a JSON object a line, over the worker's stdin and stdout.

The parent begins with `load`; the worker answers `trying` for every execution provider it tries, then `ready`
or `failed`. After that a `generate` is answered by `begin`, pieces of `text`, and one `end` or `fault`; a
`cancel` always by `end` (unless the answer had ended). Flow control is by credit: a worker sends a
request's pieces of text only while it has credit (`WINDOW` at first, more by `credit`), so a slow
reader holds up its own generation and nobody else's.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, cast

import orjson

from engine.local.template import ChatShape

#: Pieces of text a worker may be ahead of the reader, a request.
WINDOW = 64


class Candidate(TypedDict):
    """An execution provider to try, with the folder built for it."""

    provider: str  # our name: cpu, cuda, directml
    folder: str


class Skipped(TypedDict):
    """An execution provider that was not taken, and why."""

    provider: str
    why: str


class Load(TypedDict):
    op: Literal["load"]
    candidates: list[Candidate]
    threads: int | None  # None: ONNX Runtime's choice, a thread a physical core
    live: int  # requests generating at once; the others wait their turn


class Generate(TypedDict):
    """One answer. `messages` and `tools` are JSON text, as the chat template wants them."""

    op: Literal["generate"]
    id: int
    messages: str
    tools: str | None
    max_tokens: int
    search: dict[str, float | bool]  # set_search_options, without max_length
    guidance: tuple[str, str] | None  # ("json_schema" | "regex", its text)
    stop: list[str]
    begun: bool  # the last message is the beginning of the answer


class Count(TypedDict):
    op: Literal["count"]
    id: int
    messages: str
    tools: str | None


class Cancel(TypedDict):
    op: Literal["cancel"]
    id: int


class Credit(TypedDict):
    """`pieces` more may be sent for this request."""

    op: Literal["credit"]
    id: int
    pieces: int


class Stop(TypedDict):
    """End the process now; open requests are given up."""

    op: Literal["stop"]


Command = Load | Generate | Count | Cancel | Credit | Stop


class Trying(TypedDict):
    ev: Literal["trying"]
    provider: str
    skipped: list[Skipped]  # those tried before it


class Ready(TypedDict):
    ev: Literal["ready"]
    pid: int
    provider: str
    device: str  # what GenAI says it runs on
    skipped: list[Skipped]
    context: int  # tokens
    vocabulary: int
    shape: ChatShape | None
    loaded_s: float
    version: str  # of onnxruntime-genai
    telemetry: Literal["off"]


class Failed(TypedDict):
    """No candidate works; the process ends."""

    ev: Literal["failed"]
    skipped: list[Skipped]


class Begin(TypedDict):
    """The prompt is encoded and accepted."""

    ev: Literal["begin"]
    id: int
    input_tokens: int


class Text(TypedDict):
    ev: Literal["text"]
    id: int
    text: str


class End(TypedDict):
    """`output_tokens` are all that were sampled: the end-of-sequence token and a cut stop sequence too."""

    ev: Literal["end"]
    id: int
    reason: Literal["stop", "length", "cancelled"]
    stop: str | None  # the stop sequence that ended it
    input_tokens: int
    output_tokens: int


class Fault(TypedDict):
    """This request failed; the worker goes on."""

    ev: Literal["fault"]
    id: int
    failure: str  # a failure class
    message: str


class Counted(TypedDict):
    ev: Literal["counted"]
    id: int
    tokens: int


Report = Trying | Ready | Failed | Begin | Text | End | Fault | Counted


def encode(message: Command | Report) -> bytes:
    """One line. Raises `TypeError` for text that is not Unicode (a lone surrogate)."""
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)


class Lines:
    """Cuts a byte stream into messages: `feed` what arrived, get the whole messages in it."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Raises `ValueError` for a line that is not JSON."""
        if not data.endswith(b"\n") or self._rest:
            self._rest += data
            end = self._rest.rfind(b"\n") + 1
            data = bytes(self._rest[:end])
            del self._rest[:end]
        return [cast(dict[str, Any], orjson.loads(line)) for line in data.split(b"\n") if line]
