"""Labels over the sidecar's own HTTP: an embedder and a judge are asked, and what they say decides."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from running import Running, running, write_workspace
from scripted import Connection
from vendor import Vendor, answers, chat

ROUTES = """\
deployments:
  coder: {provider: fake, model: m-1}
  writer: {provider: fake, model: m-2}
  judge: {provider: fake, model: j-1}
  minilm: {provider: fake, model: e-1}
nodes:
  by_task: {switch: [{when: 'label.task == "code"', use: coder}], else: writer}
routes:
  judged:
    start: {classify: by_task, as: task, via: model, labels: {code: programs, prose: else}, judge: judge}
  likened:
    start:
      classify: by_task
      as: task
      via: embedding
      labels: {code: [programs], prose: else, verse: [poems]}
      embed: minilm
  spoken:
    start:
      classify: {switch: [{when: 'label.lang == "german"', use: coder}], else: writer}
      as: lang
      via: language
      labels: {german: de, other: else}
"""
ANGLES = {"programs": 0.0, "poems": 1.5, "mend this loop": 0.1, "a sonnet": 1.4}


@pytest.fixture
async def labelled(vendor: Vendor, tmp_path: Path) -> AsyncIterator[Running]:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES)
    provider = folder / "providers.d" / "fake.yaml"
    models = "  m-2: {context: 8k}\n  j-1: {context: 8k}\n  e-1: {context: 8k}\n"
    provider.write_text("operations: [chat, embeddings]\n" + provider.read_text() + models)
    async with running(folder) as started:
        yield started


def said_by(vendor: Vendor, label: str) -> Any:
    async def script(connection: Connection) -> None:
        body = vendor.bodies[-1]
        if "input" in body:
            angles = [ANGLES[text] for text in body["input"]]
            data = [
                {"object": "embedding", "index": place, "embedding": [math.cos(angle), math.sin(angle)]}
                for place, angle in enumerate(angles)
            ]
            usage = {"prompt_tokens": 5, "total_tokens": 5}
            await answers({"object": "list", "data": data, "model": "e-1", "usage": usage})(connection)
        elif body["model"] == "j-1":
            await answers(chat(f'{{"label": "{label}"}}'))(connection)
        else:
            await answers(chat("Hello!"))(connection)

    return script


async def ask(sidecar: Running, model: str, text: str) -> tuple[str, str]:
    answer = await sidecar.chat(model, messages=[{"role": "user", "content": text}])
    assert answer.status_code == 200, answer.text
    return answer.headers["x-engine-deployment"], answer.headers["x-engine-calls"]


@pytest.mark.parametrize(
    ("label", "served"), [("code", "coder"), ("prose", "writer"), ("nonsense", "writer")]
)
async def test_a_judge(labelled: Running, vendor: Vendor, label: str, served: str) -> None:
    vendor.answer = said_by(vendor, label)
    assert await ask(labelled, "judged", "mend this loop") == (served, "2")
    question, request = vendor.bodies
    assert question["model"] == "j-1"
    assert "programs" in question["messages"][-1]["content"]
    assert request["messages"] == [{"role": "user", "content": "mend this loop"}]


async def test_an_embedder(labelled: Running, vendor: Vendor) -> None:
    vendor.answer = said_by(vendor, "")
    assert await ask(labelled, "likened", "mend this loop") == ("coder", "2")
    assert await ask(labelled, "likened", "a sonnet") == ("writer", "2")
    inputs = [body["input"] for body in vendor.bodies if "input" in body]
    assert inputs == [["mend this loop", "programs", "poems"], ["a sonnet"]]  # labels are embedded once


async def test_a_language(labelled: Running, vendor: Vendor) -> None:
    vendor.answer = said_by(vendor, "")
    assert await ask(labelled, "spoken", "Warum ist der Himmel blau?") == ("coder", "1")
    assert await ask(labelled, "spoken", "Why is the sky blue?") == ("writer", "1")
