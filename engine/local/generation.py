"""One answer inside the worker: a Generator, fed in slices, sampled token by token.

Every call does one bounded piece of work, a slice of the prompt or one token, so the worker can go round its
live requests and hear a cancel in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from engine.local.prompt import Prompts, Unfit
from engine.local.protocol import WINDOW, End, Fault, Generate, Report, Text
from engine.local.stops import StopMatcher

#: Tokens of the prompt a call feeds. A slice costs a time that grows with what is in the cache, and a time a
#: token: prompts are cheapest in slices of about 128 (cheaper than in one piece), and every halving below
#: costs more. So a slice is as large as a cancel may wait for, in steps of 4.
SLICE, LARGEST_SLICE, SMALLEST_SLICE, STEP = 32, 128, 16, 4
LONGEST_SLICE_S = 0.086


class Pace:
    """How large the slices of prompts are here; what a prompt's first slice taught, the next prompt uses."""

    def __init__(self) -> None:
        self.first = SLICE

    @staticmethod
    def next(size: int, seconds: float) -> int:
        """The slice after one of `size` tokens that took so long."""
        fitting = int(size * LONGEST_SLICE_S / seconds) // STEP * STEP
        return min(max(fitting, SMALLEST_SLICE), LARGEST_SLICE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model in this process."""

    og: Any  # the module onnxruntime_genai
    model: Any
    tokenizer: Any
    prompts: Prompts
    pace: Pace
    eos: frozenset[int]
    context: int  # tokens
    vocabulary: int


class Generation:
    """The state of one answer. `start` before the first `step`."""

    def __init__(self, loaded: Loaded, request: Generate) -> None:
        """Encodes the prompt. Raises `Unfit`: `context_length` with the numbers, `bad_request`."""
        self.id = request["id"]
        self._loaded, self._request = loaded, request
        self._prompt = loaded.prompts.encode(request["messages"], request["tools"], begun=request["begun"])
        room = loaded.context - len(self._prompt)
        if room < 1:
            raise Unfit(
                "context_length",
                f"the prompt has {len(self._prompt)} tokens, the model's context is {loaded.context}",
            )
        self._limit = min(request["max_tokens"], room)
        self._stops = StopMatcher(request["stop"])
        self._stream = loaded.tokenizer.create_stream()
        self._generator: Any = None
        self._fed = 0
        self._slice = loaded.pace.first
        self._sampled = 0
        self.credit = WINDOW

    @property
    def input_tokens(self) -> int:
        return len(self._prompt)

    @property
    def runnable(self) -> bool:
        """Whether a step may be done now: the reader keeps up, or there is no text to send yet."""
        return self.credit > 0 or self._fed < len(self._prompt)

    def start(self) -> None:
        """Takes memory for prompt and answer, compiles the grammar. Raises `Unfit`."""
        og, request = self._loaded.og, self._request
        parameters = og.GeneratorParams(self._loaded.model)
        search = dict(request["search"])
        if search.get("do_sample") and not search["top_k"]:
            # GenAI looks at top_p only where top_k is set; the whole vocabulary is no restriction
            search["top_k"] = self._loaded.vocabulary
        try:
            parameters.set_search_options(max_length=len(self._prompt) + self._limit, **search)
            if request["guidance"] is not None:
                parameters.set_guidance(*request["guidance"])
            self._generator = og.Generator(self._loaded.model, parameters)
        except Exception as error:
            failure = "bad_request" if request["guidance"] is not None else "server"
            raise Unfit(failure, str(error)) from error

    def step(self) -> list[Report]:
        """A slice of the prompt or one token; what is to be told. An `End` or `Fault` is the last."""
        try:
            if self._fed < len(self._prompt) and not self._feed():
                return []
            return self._sample()
        except Exception as error:  # noqa: BLE001 - one request's failure, whatever it is, is not the others'
            return [
                Fault(ev="fault", id=self.id, failure="server", message=f"{type(error).__name__}: {error}")
            ]

    def end(self, reason: Literal["stop", "length", "cancelled"]) -> End:
        """Frees the memory and sums up."""
        self._generator = None
        return End(
            ev="end",
            id=self.id,
            reason=reason,
            stop=self._stops.matched,
            input_tokens=len(self._prompt),
            output_tokens=self._sampled,
        )

    def _feed(self) -> bool:
        """Feeds the next slice; True when the whole prompt is in."""
        part = self._prompt[self._fed : self._fed + self._slice]
        began = time.perf_counter()
        self._generator.append_tokens(part)
        if len(part) == self._slice:  # the end of a prompt is short, and dear for its size
            self._slice = Pace.next(len(part), time.perf_counter() - began)
            if not self._fed:
                self._loaded.pace.first = self._slice
        self._fed += len(part)
        return self._fed >= len(self._prompt)

    def _sample(self) -> list[Report]:
        self._generator.generate_next_token()
        token = int(self._generator.get_next_tokens()[0])
        self._sampled += 1
        over = token in self._loaded.eos
        text = "" if over else self._stops.feed(self._stream.decode(token))
        stopped = over or self._stops.matched is not None
        # done without an end token: a grammar that allows nothing more
        full = self._sampled >= self._limit
        ended = stopped or full or self._generator.is_done()
        if ended:
            text += self._stops.flush()
        told: list[Report] = []
        if text:
            self.credit -= 1
            told.append(Text(ev="text", id=self.id, text=text))
        if ended:
            told.append(self.end("length" if full and not stopped else "stop"))
        return told
