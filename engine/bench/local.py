"""`engine bench local`: time to first token and tokens/s of a local model, beside a bare loop over GenAI.

Prompts of about 20, 500 and 2,000 tokens, greedy. Every measurement is a pair in the same minute: our worker
and the shortest loop that streams (`bare_genai`), in turn first; what is judged is the median of the pairs'
ratios, after one pair that is not counted. The figures themselves are this machine's and this moment's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from engine.bench.bare_genai import Bare, Timing
from engine.bench.process import BenchError
from engine.bench.report import Report, median
from engine.local.errors import ModelError
from engine.local.model import LocalModel
from engine.local.status import Options as RunOptions
from engine.local.store import ModelStore
from engine.wire.canonical import Request

#: Words of the filler prompt; about 1.1 tokens each.
SENTENCE = "The keeper of the lighthouse wrote down the weather, the tide and the names of passing ships. "

#: A worker may take a tenth longer than the bare loop to the first token, and be a tenth slower after it.
#: Judged at the size of a usual prompt: at 20 tokens a few milliseconds decide, 2,000 are for information.
JUDGED, LONGER, SLOWER = 500, 1.10, 0.90


@dataclass(frozen=True, slots=True)
class Options:
    """Which model, and how often. `threads` None: ONNX Runtime's choice."""

    model: str = "smollm2-135m-instruct"
    repeats: int = 5
    smoke: bool = False
    threads: int | None = None


def bench(options: Options) -> Report:
    """Load the model in its own worker, and once more for the bare loop, and measure both.

    Raises:
        BenchError: the model is not installed, or did not start.
    """
    try:
        folder = ModelStore().find(options.model)
    except ModelError as error:
        raise BenchError(f"{error}") from error
    threads = "" if options.threads is None else f", {options.threads} threads"
    report = Report(f"local model {options.model}{threads}", judged=not options.smoke)
    model = LocalModel(options.model, folder.path, options=RunOptions(threads=options.threads))
    with Bare(folder.path, options.threads) as bare:
        asyncio.run(_measure(report, options, model, bare))
    return report


async def _measure(report: Report, options: Options, model: LocalModel, bare: Bare) -> None:
    began = time.perf_counter()
    await model.start()
    try:
        report.add("loaded after", (time.perf_counter() - began) * 1e3, "ms")
        status = model.status()
        if status.state != "ready":
            raise BenchError(f"{options.model} did not start: {status.why}")
        for size in (20,) if options.smoke else (20, 500, 2000):
            await _prompt(report, options, model, bare, size)
        if not options.smoke:
            await _together(report, model, 4)
        rss = model.status().rss
        if rss is not None:
            report.add("worker's memory (RSS)", rss / 2**20, "MiB")
    finally:
        await model.stop()


def _text(tokens: int) -> str:
    return SENTENCE * max(0, round((tokens - 20) / 19)) + "Write a long story about the sea."


def _request(tokens: int) -> Request:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": _text(tokens)}]}]}


async def _prompt(report: Report, options: Options, model: LocalModel, bare: Bare, size: int) -> None:
    request, text, length = _request(size), _text(size), 16 if options.smoke else 64
    pairs: list[tuple[Timing, Timing]] = []
    # of the long one half as many: it takes most of the time and decides nothing
    repeats = options.repeats if size <= JUDGED else (options.repeats + 1) // 2
    for run in range(1 + (1 if options.smoke else repeats)):
        if run % 2:
            theirs = bare.answer(text, length)
            ours, _ = await _answer(model, request, length)
        else:
            ours, _ = await _answer(model, request, length)
            theirs = bare.answer(text, length)
        if run:
            pairs.append((ours, theirs))
    counted, judged = pairs[0][0].prompt, size == JUDGED
    if counted != pairs[0][1].prompt:
        raise BenchError(f"the worker read {counted} tokens, the bare loop {pairs[0][1].prompt}")
    name = f"prompt of {counted} tokens:"
    report.add(f"{name} first token after", median([ours.first_s * 1e3 for ours, _ in pairs]), "ms")
    report.add(f"{name} then", median([ours.speed for ours, _ in pairs]), "tokens/s")
    longer = median([ours.first_s / theirs.first_s for ours, theirs in pairs])
    slower = median([ours.speed / theirs.speed for ours, theirs in pairs])
    report.add(f"{name} first token, x bare GenAI", longer, "x", at_most=LONGER if judged else None)
    report.add(f"{name} tokens/s, x bare GenAI", slower, "x", at_least=SLOWER if judged else None)


async def _answer(model: LocalModel, request: Request, max_tokens: int) -> tuple[Timing, int]:
    """The timing of one answer, and its tokens."""
    began = time.perf_counter()
    first = last = 0.0
    tokens = prompt = 0
    async for events in model.generate(request, max_tokens=max_tokens):
        now = time.perf_counter()
        for event in events:
            if event["type"] == "text":
                first = first or now
                last = now
            elif event["type"] == "usage":
                tokens, prompt = event["usage"]["output_tokens"], event["usage"]["input_tokens"]
            elif event["type"] == "error":
                raise BenchError(event["error"]["message"])
    # A worker that is slow to be read says all at once: of that no speed can be told.
    speed = (tokens - 1) / (last - first) if last > first else float("nan")
    return Timing(first - began, speed, prompt), tokens


async def _together(report: Report, model: LocalModel, requests: int) -> None:
    began = time.perf_counter()
    answers = await asyncio.gather(*(_answer(model, _request(20), 64) for _ in range(requests)))
    took = time.perf_counter() - began
    report.add(f"{requests} requests at once, all together", sum(a[1] for a in answers) / took, "tokens/s")
