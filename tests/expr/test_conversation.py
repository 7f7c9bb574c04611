"""A whole tool conversation, from the canonical shape to another vendor's, by one template file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.compiler.expr import compile_template, reads
from engine.diagnostics import Diagnostics
from engine.plan.code import bind_template
from engine.plan.values import Template

DATA = Path(__file__).parent / "data"


@pytest.fixture
def example(document_of: Callable[..., Any]) -> dict[str, Any]:
    data: dict[str, Any] = document_of((DATA / "anthropic_example.yaml").read_text()).data
    return data


@pytest.fixture
def template(document_of: Callable[..., Any]) -> Template:
    document = document_of((DATA / "anthropic_request.yaml").read_text())
    out = Diagnostics()
    found = compile_template(
        document.data["body"], document=document, path=("body",), scope="request_write", out=out,
        blocks=document.data["blocks"],
    )  # fmt: skip
    assert found is not None, list(out)
    return found


def test_the_whole_body(template: Template, example: dict[str, Any]) -> None:
    request = example["request"]
    before = copy.deepcopy(request)
    given = bind_template(template)(request, {}, example["target"], {})
    assert given == example["gives"]
    assert list(given) == list(example["gives"])
    assert request == before


def test_a_conversation_must_begin_with_the_user(template: Template) -> None:
    request = {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "hi"}]}]}
    given = bind_template(template)(request, {}, {"wire_model": "m"}, {})
    assert [m["role"] for m in given["messages"]] == ["user", "assistant"]
    assert given["max_tokens"] == 4096


def test_what_is_dropped_can_be_told(template: Template) -> None:
    """The ledger of a dialect: a canonical field that is never read never arrives."""
    read = reads(template)
    assert {"tools", "messages.content.text", "stop", "reasoning.effort"} <= read
    assert not {"logit_bias", "seed", "temperature", "messages.content.filename"} & read
