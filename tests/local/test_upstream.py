"""Local models as an upstream: how long an answer may get, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asking import ask

from engine.local.models import LocalModels, Spec
from engine.local.store import ModelStore
from engine.local.upstream import DEFAULT_OUTPUT, Loaded, LocalUpstream
from engine.plan.types import Call, Deployment
from engine.plan.vendors import Facts
from engine.upstream.protocol import Ask, Whole


def asked(request: Any, *, max_tokens: int | None = None, output: int | None = None) -> Ask:
    deployment = Deployment(
        name="here", provider="onnx", model="m", wire_model="m", region="", base_url="",
        residency="on_host", credentials=(), facts=Facts(output=output), call=Call(),
    )  # fmt: skip
    return Ask(request=request, deployment=deployment, params={}, max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("fields", "limit", "output", "written"),
    [
        ({}, None, None, DEFAULT_OUTPUT),
        ({}, None, 8192, DEFAULT_OUTPUT),  # a fact says what is possible, not what is usual
        ({}, None, 20, 20),
        ({"max_tokens": 700}, None, None, 700),
        ({}, 30, None, 30),
        ({"max_tokens": 700}, 40, 8192, 40),
    ],
)
async def test_how_long_an_answer_may_get(
    tmp_path: Path, random_model: Path, fields: Any, limit: int | None, output: int | None, written: int
) -> None:
    whole = await answered(tmp_path, random_model, asked(ask(**fields), max_tokens=limit, output=output))
    assert whole.reply is not None
    assert whole.reply["usage"]["output_tokens"] == written


async def test_the_context_ends_an_answer_first(tmp_path: Path, random_model: Path) -> None:
    whole = await answered(tmp_path, random_model, asked(ask("x" * 1900)))
    assert whole.reply is not None
    assert sum(whole.reply["usage"][side] for side in ("input_tokens", "output_tokens")) == 2048


async def answered(root: Path, folder: Path, ask: Ask) -> Whole:
    pool, spec = LocalModels(ModelStore(root)), Spec("m", folder)
    upstream = LocalUpstream(pool, {"here": Loaded(spec, await pool.acquire(spec))})
    try:
        return await upstream.whole(ask)
    finally:
        await upstream.close()
        assert pool.status() == []
