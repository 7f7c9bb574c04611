"""Canonical requests and what came back, short enough to be read in a test."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from engine.local.model import LocalModel


def ask(text: str = "hi", system: str | None = None, **fields: Any) -> Any:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return {"operation": "chat", "messages": messages, **fields}


async def freed(model: LocalModel) -> float:
    """Wait until the worker has confirmed that nothing is open; the seconds of the processor that it took,
    on all its threads: what it went on to work, however often the machine ran others meanwhile.
    """
    process = psutil.Process(model.status().pid)
    began = process.cpu_times()
    async with asyncio.timeout(30):
        while model.status().open:
            await asyncio.sleep(0.001)
    ended = process.cpu_times()
    return float(ended.user + ended.system - began.user - began.system)


@dataclass
class Got:
    """A whole answer."""

    events: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event["text"] for event in self.events if event["type"] == "text")

    @property
    def reason(self) -> str | None:
        return next((event["finish_reason"] for event in self.events if event["type"] == "finish"), None)

    @property
    def usage(self) -> Any:
        return next((event["usage"] for event in self.events if event["type"] == "usage"), None)

    @property
    def error(self) -> Any:
        return next((event["error"] for event in self.events if event["type"] == "error"), None)


async def answer(model: LocalModel, request: Any, max_tokens: int = 64) -> Got:
    got = Got()
    async for batch in model.generate(request, max_tokens=max_tokens):
        got.events += batch
    return got


#: Prints the ids of conversations, one list a conversation; GenAI keeps to a process of its own.
IDS = """
import json, os, sys
from pathlib import Path
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime_genai as og
from engine.local.prompt import Prompts, Unfit
folder = Path(sys.argv[1])
tokenizer = og.Tokenizer(str(folder))
prompts = Prompts(og, tokenizer, folder, 1 << 30)
for messages in json.load(sys.stdin):
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    try:
        ids = prompts.encode(messages, None)
    except Unfit as unfit:
        print(json.dumps([unfit.failure, str(unfit)]))
    else:
        print(json.dumps([ids, tokenizer.encode(text).tolist(), text]))
"""


def ids(folder: Path, *conversations: list[tuple[str, str]]) -> list[Any]:
    """For each: [our ids, GenAI's ids of the rendered text, the text]; or [failure, message]."""
    given = [
        json.dumps([{"role": role, "content": content} for role, content in one]) for one in conversations
    ]
    command = [sys.executable, "-c", IDS, str(folder)]
    run = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]
