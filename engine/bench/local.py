"""`engine bench local`: time to first token and tokens/s of a local model, alone on the machine.

Prompts of about 20, 500 and 2,000 tokens, greedy: the median of a few repeats, after one that is not
counted. The figures are this machine's and this moment's: compare them with another run here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from engine.bench.process import BenchError
from engine.bench.report import Report, median
from engine.local.errors import ModelError
from engine.local.model import LocalModel
from engine.local.store import ModelStore
from engine.wire.canonical import Request

#: Words of the filler prompt; about 1.1 tokens each.
SENTENCE = "The keeper of the lighthouse wrote down the weather, the tide and the names of passing ships. "


@dataclass(frozen=True, slots=True)
class Options:
    """Which model, and how often."""

    model: str = "smollm2-135m-instruct"
    repeats: int = 3
    smoke: bool = False


def bench(options: Options) -> Report:
    """Load the model in its own worker and measure it.

    Raises:
        BenchError: the model is not installed, or did not start.
    """
    try:
        folder = ModelStore().find(options.model)
    except ModelError as error:
        raise BenchError(f"{error}") from error
    report = Report(f"local model {options.model}", judged=False)
    asyncio.run(_measure(report, options, LocalModel(options.model, folder.path)))
    return report


async def _measure(report: Report, options: Options, model: LocalModel) -> None:
    began = time.perf_counter()
    await model.start()
    try:
        report.add("loaded after", (time.perf_counter() - began) * 1e3, "ms")
        status = model.status()
        if status.state != "ready":
            raise BenchError(f"{options.model} did not start: {status.why}")
        for size in (20,) if options.smoke else (20, 500, 2000):
            await _prompt(report, options, model, size)
        if not options.smoke:
            await _together(report, model, 4)
        rss = model.status().rss
        if rss is not None:
            report.add("worker's memory (RSS)", rss / 2**20, "MiB")
    finally:
        await model.stop()


def _request(tokens: int) -> Request:
    filler = SENTENCE * max(0, round((tokens - 20) / 19))
    text = filler + "Write a long story about the sea."
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}


async def _prompt(report: Report, options: Options, model: LocalModel, size: int) -> None:
    request = _request(size)
    first: list[float] = []
    speed: list[float] = []
    counted = 0
    for run in range(1 + (1 if options.smoke else options.repeats)):
        to_first, tokens, seconds, counted = await _answer(model, request, 16 if options.smoke else 64)
        if run:
            first.append(to_first * 1e3)
            speed.append((tokens - 1) / seconds)
    report.add(f"prompt of {counted} tokens: first token after", median(first), "ms")
    report.add(f"prompt of {counted} tokens: then", median(speed), "tokens/s")


async def _answer(model: LocalModel, request: Request, max_tokens: int) -> tuple[float, int, float, int]:
    """Seconds to the first token, tokens, seconds from the first to the last, tokens of the prompt."""
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
    return first - began, tokens, last - first, prompt


async def _together(report: Report, model: LocalModel, requests: int) -> None:
    began = time.perf_counter()
    answers = await asyncio.gather(*(_answer(model, _request(20), 64) for _ in range(requests)))
    took = time.perf_counter() - began
    report.add(f"{requests} requests at once, all together", sum(a[1] for a in answers) / took, "tokens/s")
