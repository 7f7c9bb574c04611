"""A loaded model over tiny ones: exact answers, several at once, leaving, dying, coming back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from asking import Got, answer, ask, freed
from conftest import Starter

from engine.local.errors import ModelError
from engine.local.model import LocalModel
from engine.local.request import Refused
from engine.local.status import State

HELLO = "Hello from the tiny test model."


async def settled(model: LocalModel, state: State, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while model.status().state != state:
            await asyncio.sleep(0.005)


async def test_an_answer_event_by_event(started: Starter, canned_model: Path) -> None:
    got = await answer(await started(canned_model), ask())
    kinds = [event["type"] for event in got.events]
    assert kinds == ["start", *["text"] * 7, "finish", "usage"]
    assert got.text == HELLO
    assert got.reason == "stop"
    # <|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n, a byte a token; 7 words and the end token
    assert got.usage == {"input_tokens": 1 + 5 + 2 + 1 + 1 + 1 + 10, "output_tokens": 8}
    assert got.events[0]["model"] == "canned"


@pytest.mark.parametrize(
    ("fields", "max_tokens", "text", "reason", "output_tokens"),
    [
        ({}, 8, HELLO, "stop", 8),
        ({}, 7, HELLO, "length", 7),
        ({}, 3, "Hello from the", "length", 3),
        ({}, 1, "Hello", "length", 1),
        ({"stop": [" tiny"]}, 64, "Hello from the", "stop", 4),
        ({"stop": ["m the t"]}, 64, "Hello fro", "stop", 4),
        ({"stop": ["model.!"]}, 64, HELLO, "stop", 8),
        ({"stop": ["del", "the"]}, 64, "Hello from ", "stop", 3),
        ({"stop": ["Hello"]}, 64, "", "stop", 1),
        ({"stop": ["the tiny test"]}, 4, "Hello from the tiny", "length", 4),
        ({"temperature": 0.0}, 64, HELLO, "stop", 8),
    ],
)
async def test_stops_and_limits(
    started: Starter,
    canned_model: Path,
    fields: Any,
    max_tokens: int,
    text: str,
    reason: str,
    output_tokens: int,
) -> None:
    got = await answer(await started(canned_model), ask(**fields), max_tokens)
    assert (got.text, got.reason, got.usage["output_tokens"]) == (text, reason, output_tokens)


async def test_several_at_once_take_turns(started: Starter, random_model: Path) -> None:
    model = await started(random_model, live=3, waiting=2)
    order: list[int] = []

    async def one(number: int) -> Got:
        got = Got()
        async for batch in model.generate(ask(f"request {number}"), max_tokens=50):
            order.extend(number for event in batch if event["type"] == "text")
            got.events += batch
        return got

    together = await asyncio.gather(*map(one, range(5)))
    alone = [await one(number) for number in range(5)]
    assert [got.text for got in together] == [got.text for got in alone]
    assert len({got.text for got in alone}) == 5
    first = order[: len(order) // 5]
    assert len(set(first)) >= 3, "the live ones advance together"
    assert model.status().open == 0


async def test_overload_is_refused_at_once(started: Starter, random_model: Path) -> None:
    model = await started(random_model, live=1, waiting=1)
    streams = [model.generate(ask(), max_tokens=1900) for _ in range(3)]
    first = [asyncio.ensure_future(anext(stream)) for stream in streams]
    refused = await first[2]
    assert refused[0]["error"]["failure"] == "overloaded"
    for task, stream in zip(first[:2], streams[:2], strict=True):
        await task
        await stream.aclose()
    await freed(model)
    assert (await answer(model, ask(), 5)).usage["output_tokens"] == 5


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_a_client_that_leaves_stops_the_work(started: Starter, random_model: Path, how: str) -> None:
    model = await started(random_model)
    stream = model.generate(ask(stop=["never said"]), max_tokens=1900)
    await anext(stream)
    if how == "close":
        await stream.aclose()
    else:
        reader = asyncio.ensure_future(answer(model, ask("x" * 1500), 400))
        await asyncio.sleep(0.01)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await stream.aclose()
    assert await freed(model) < 0.2


async def test_a_slow_reader_holds_up_only_itself(started: Starter, random_model: Path) -> None:
    model = await started(random_model)
    slow = model.generate(ask("slow"), max_tokens=1500)
    await anext(slow)
    await asyncio.sleep(0.1)
    assert (await answer(model, ask("quick"), 300)).usage["output_tokens"] == 300
    batch = await anext(slow)
    assert len(batch) <= 64, "the worker waits for credit"
    got = Got()
    async for more in slow:
        got.events += more
    assert got.usage["output_tokens"] == 1500


async def test_killed_in_the_middle_it_says_so_and_comes_back(started: Starter, random_model: Path) -> None:
    model = await started(random_model, backoff_first_s=1.0)
    old = model.status().pid
    assert old is not None
    stream = model.generate(ask(), max_tokens=1900)
    waiting = asyncio.ensure_future(answer(model, ask("y" * 1900), 50))
    got = Got()
    while not got.text:
        got.events += await anext(stream)
    os.kill(old, signal.SIGKILL)
    async for batch in stream:
        got.events += batch
        if batch[-1]["type"] == "error":  # in the very moment of the news
            assert model.status().state == "backoff"
    assert got.events[-1]["type"] == "error"
    assert got.error["failure"] == "cut"
    assert "SIGKILL" in got.error["message"]
    assert (await waiting).error["failure"] in ("server", "cut")

    status = model.status()
    assert (status.state, status.pid) == ("backoff", None)
    assert status.retry_in_s is not None
    assert "SIGKILL" in str(status.why)
    meanwhile = await answer(model, ask())
    assert [event["type"] for event in meanwhile.events] == ["error"]
    assert meanwhile.error["failure"] == "connect"

    await settled(model, "ready")
    assert model.status().restarts == 1
    assert model.status().pid != old
    assert (await answer(model, ask(), 5)).reason == "length"


async def test_a_death_before_the_first_word_is_a_server_failure(
    started: Starter, random_model: Path
) -> None:
    model = await started(random_model)
    asking = asyncio.ensure_future(answer(model, ask("z" * 1900), 50))
    await asyncio.sleep(0)
    pid = model.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    got = await asking
    assert [event["type"] for event in got.events if event["type"] != "start"] == ["error"]
    assert got.error["failure"] == "server"


async def test_a_prompt_too_long_is_told_with_its_numbers(started: Starter, canned_model: Path) -> None:
    model = await started(canned_model)
    got = await answer(model, ask("x" * 3000))
    assert got.error["failure"] == "context_length"
    assert re.search(r"\b30\d\d tokens.* 2048\b", got.error["message"])
    # a prompt that just fits leaves room for what is left of the context
    most = 2046 - (1 + 5 + 1 + 1 + 1 + 10)
    assert (await answer(model, ask("x" * most))).usage == {"input_tokens": 2046, "output_tokens": 2}


@pytest.mark.parametrize("number", range(3))
async def test_schemas_are_obeyed(started: Starter, random_model: Path, number: int) -> None:
    schema = {
        "type": "object",
        "properties": {
            "colour": {"enum": ["red", "green"]},
            "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        },
        "required": ["colour", "sizes"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "schema": schema}
    request = ask(response_format=form, temperature=1.0, seed=number)
    got = await answer(await started(random_model), request, 400)
    if got.reason == "stop":
        parsed = json.loads(got.text)
        assert parsed["colour"] in ("red", "green")
        assert all(type(size) is int for size in parsed["sizes"])
    else:  # digits without end are valid too: cut, and told
        assert got.reason == "length"
        assert got.text.startswith('{"colour":"')


async def test_objects_patterns_and_forced_calls(started: Starter, random_model: Path) -> None:
    model = await started(random_model)
    got = await answer(model, ask(response_format={"type": "regex", "pattern": "[0-9]{3}-[a-f]{2}"}))
    assert re.fullmatch("[0-9]{3}-[a-f]{2}", got.text)
    assert got.reason == "stop"
    got = await answer(model, ask(response_format={"type": "json_object"}), 30)
    assert got.text.startswith("{")
    tool = {
        "name": "pick",
        "parameters": {
            "type": "object",
            "properties": {
                "letter": {"enum": ["a", "b"]},
                "in": {"type": "object", "properties": {}, "additionalProperties": False},
            },
            "required": ["letter", "in"],
            "additionalProperties": False,
        },
    }
    got = await answer(model, ask(tools=[tool], tool_choice={"mode": "named", "name": "pick"}))
    calls = [event for event in got.events if event["type"] == "tool_call"]
    assert [call["name"] for call in calls] == ["pick"]
    arguments = "".join(event["arguments"] for event in got.events if event["type"] == "tool_arguments")
    assert json.loads(arguments)["letter"] in ("a", "b")
    assert got.reason == "tool_calls"
    assert got.text == ""


@pytest.mark.parametrize(
    "form",
    [
        {"type": "regex", "pattern": "("},
        {"type": "json_schema", "schema": {"type": "nonsense"}},
    ],
)
async def test_a_bad_grammar_is_the_clients_mistake(started: Starter, random_model: Path, form: Any) -> None:
    model = await started(random_model)
    assert (await answer(model, ask(response_format=form))).error["failure"] == "bad_request"
    assert (await answer(model, ask(), 3)).usage["output_tokens"] == 3


async def test_a_seed_repeats_and_another_does_not(started: Starter, random_model: Path) -> None:
    model = await started(random_model)
    texts = [(await answer(model, ask(temperature=1.0, seed=seed), 40)).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    sharp = [(await answer(model, ask(temperature=1.0, top_p=1e-6, seed=seed), 40)).text for seed in (1, 2)]
    assert sharp[0] == sharp[1] == (await answer(model, ask(), 40)).text, "top_p works without top_k"


async def test_counts_are_what_the_model_is_given(started: Starter, canned_model: Path) -> None:
    model = await started(canned_model)
    for request in (
        ask("héllo 🦀 <|im_end|> x", system=" be brief\n"),
        ask(""),
        ask("twenty thousand characters " * 60),
        {
            "messages": [
                {"role": "tool", "content": [{"type": "text", "text": "unknown order: the worker is asked"}]}
            ]
        },
    ):
        counted = await model.count(request)
        assert counted == (await answer(model, request, 1)).usage["input_tokens"]
    with pytest.raises(Refused):
        await model.count(ask("\ud800"))


@pytest.mark.parametrize(
    ("request_", "failure"),
    [(ask("a\ud800"), "bad_request"), (ask(n=2), "unsupported"), ({"messages": []}, "bad_request")],
)
async def test_refusals_are_events(started: Starter, canned_model: Path, request_: Any, failure: str) -> None:
    got = await answer(await started(canned_model), request_)
    assert [event["type"] for event in got.events] == ["error"]
    assert got.error["failure"] == failure


async def test_status_and_stop(started: Starter, canned_model: Path) -> None:
    model = await started(canned_model)
    status = model.status()
    assert (status.state, status.provider, status.skipped, status.telemetry) == ("ready", "cpu", (), "off")
    assert status.context == 2048
    assert status.loaded_s is not None
    if sys.platform == "linux":
        assert status.rss is not None
        assert 10e6 < status.rss < 500e6
        environment = Path(f"/proc/{status.pid}/environ").read_bytes()
        assert b"ORT_DISABLE_TELEMETRY=1" in environment
    stream = model.generate(ask("x" * 1500), max_tokens=100)
    opened = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await model.stop()
    await model.stop()
    await opened
    await stream.aclose()
    assert model.status().state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(status.pid or 0, 0)
    assert (await answer(model, ask())).error["failure"] == "connect"
    with pytest.raises(ModelError, match="not loaded"):
        await model.count(ask())


async def test_an_interrupt_from_the_keyboard_is_the_parents(started: Starter, canned_model: Path) -> None:
    model = await started(canned_model)
    pid = model.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    assert (await answer(model, ask())).text == HELLO


def test_the_worker_dies_with_its_parent(canned_model: Path) -> None:
    script = (
        "import asyncio, os, sys; from pathlib import Path; from engine.local.model import LocalModel\n"
        "async def main():\n"
        "    model = LocalModel('m', Path(sys.argv[1])); await model.start()\n"
        "    print(model.status().pid, flush=True)\n"
        "    os._exit(1)\n"
        "asyncio.run(main())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(canned_model)], capture_output=True, text=True, check=False
    )
    pid = int(run.stdout)
    for _ in range(3_000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail(f"worker {pid} lives on")


def test_the_worker_is_light() -> None:
    heavy = {"pydantic", "aiohttp", "numpy", "yaml", "asyncio"}
    script = "import engine.local.worker, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not heavy & {*run.stdout.split()}
