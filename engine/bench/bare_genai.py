"""The reference for local models: the shortest loop over ONNX Runtime GenAI that streams, in its own process.

Template, tokens, the whole prompt at once, then token by token: no other requests, no cancel, no limits. A
fixed yardstick, so do not tune it to a result. `Bare` is the parent's side: a JSON line each way an answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.bench.process import BenchError


@dataclass(frozen=True, slots=True)
class Timing:
    """One answer: seconds to its first token, tokens a second after that, and how many it had to read."""

    first_s: float
    speed: float
    prompt: int  # tokens


class Bare:
    """A running loop over one model folder. Use it as a context."""

    def __init__(self, folder: Path, threads: int | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.bench.bare_genai", str(folder), str(threads or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
        )
        self._heard()  # it is loaded

    def answer(self, text: str, max_tokens: int) -> Timing:
        """Asks and waits. Raises `BenchError` if the process is gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"text": text, "max_tokens": max_tokens}).encode() + b"\n")
        self._process.stdin.flush()
        return Timing(**self._heard())

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if line := self._process.stdout.readline():
            heard: dict[str, Any] = json.loads(line)
            return heard
        words = self._process.stderr.read()[-2000:].decode("utf-8", "replace").strip()
        raise BenchError(f"the bare GenAI loop ended: {words}")

    def __enter__(self) -> Bare:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _timed(og: Any, model: Any, tokenizer: Any, text: str, max_tokens: int) -> Timing:
    began = time.perf_counter()
    messages = json.dumps([{"role": "user", "content": text}])
    prompt = tokenizer.encode(tokenizer.apply_chat_template(messages, add_generation_prompt=True))
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(prompt) + max_tokens, do_sample=False)
    generator, stream = og.Generator(model, parameters), tokenizer.create_stream()
    generator.append_tokens(prompt)
    first = last = 0.0
    tokens = 0
    while not generator.is_done():
        generator.generate_next_token()
        stream.decode(generator.get_next_tokens()[0])
        tokens, last = tokens + 1, time.perf_counter()
        first = first or last
    return Timing(first - began, (tokens - 1) / (last - first), len(prompt))


def main() -> None:
    """Runs the loop: folder and number of threads (0: ONNX Runtime's choice) are the arguments."""
    import onnxruntime_genai as og  # here: only this process has it

    folder, threads = sys.argv[1], int(sys.argv[2])
    config = og.Config(folder)
    config.clear_providers()
    if threads:
        options = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
    model = og.Model(config)
    tokenizer = og.Tokenizer(model)
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        timing = _timed(og, model, tokenizer, asked["text"], asked["max_tokens"])
        told = {"first_s": timing.first_s, "speed": timing.speed, "prompt": timing.prompt}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
