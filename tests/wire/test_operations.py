"""The operations beside chat: bytes of vectors, what is a reply and what is none, what is lost."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan.functions import pack, unpack
from engine.plan.vendors import PriceRow
from engine.wire import ledger
from engine.wire.operations import OPERATIONS, check_answers, check_reply, form
from engine.wire.pricing import cost_of, worst_cost


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_vectors_are_their_bytes(numbers: list[float]) -> None:
    packed = pack(numbers)
    assert packed == base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    assert unpack(packed) == numbers


@pytest.mark.parametrize(
    ("kind", "numbers", "packed"),
    [
        ("int8", [-128, 0, 127], "gAB/"),
        ("uint8", [0, 255], "AP8="),
        ("binary", [-1, 1.0], "/wE="),
        ("ubinary", [255, 1], "/wE="),
    ],
)
def test_bytes_of_small_numbers(kind: str, numbers: list[float], packed: str) -> None:
    assert pack(numbers, kind) == packed
    assert unpack(packed, kind) == numbers


@pytest.mark.parametrize(
    "found",
    [
        pack("abc"), pack([1, "a"]), pack([1], "int9"), pack([1], None), pack([300], "int8"), pack(None),
        unpack("AAA"), unpack("AAAAAAA="), unpack("é"), unpack([1.0]), unpack("AAAA", "int9"), unpack(None),
    ],
)  # fmt: skip
def test_what_is_none_gives_nothing(found: Any) -> None:
    assert found is None


@pytest.mark.parametrize(
    ("operation", "reply", "fault"),
    [
        ("chat", {"choices": [{"native_finish_reason": "stop", "message": {"content": []}}]}, None),
        ("chat", {"choices": [{"message": {"content": []}}]}, "choice 0 of the answer holds nothing"),
        ("chat", {"choices": []}, "no choices"),
        ("chat", {}, "no choices"),
        ("embeddings", None, "no object"),
        ("embeddings", {"embeddings": []}, "no embeddings"),
        ("embeddings", {"embeddings": [{"index": 0}]}, "embedding 0 of the answer has no vector"),
        ("embeddings", {"embeddings": [{"vector": [1]}, {"vector": [2]}]}, None),
        ("embeddings", {"embeddings": [{"vector": [1], "index": 1}, {"vector": [2], "index": 0}]}, None),
        ("embeddings", {"embeddings": [{"vector": [1], "index": 1}]}, "not one an input"),
        ("embeddings", {"embeddings": 2 * [{"vector": [1], "index": 0}]}, "not one an input"),
        ("embeddings", {"embeddings": [{"vector": [1], "index": "0"}]}, "an index that is no number"),
        ("rerank", {"results": []}, None),
        ("rerank", {"results": [{"index": 0, "score": 1}]}, None),
        ("rerank", {"results": [{"score": 1}]}, "names no document"),
        ("rerank", {"results": [{"index": 0}]}, "has no score"),
        ("rerank", {}, "no results"),
        ("count_tokens", {"input_tokens": 0}, None),
        ("count_tokens", {"input_tokens": -1}, "no count"),
        ("count_tokens", {"input_tokens": True}, "no count"),
    ],
)  # fmt: skip
def test_what_is_a_reply(operation: str, reply: Any, fault: str | None) -> None:
    found = check_reply(operation, reply)
    assert found is None if fault is None else fault in (found or "")


def test_vectors_come_in_the_order_of_their_inputs() -> None:
    reply = {"embeddings": [{"vector": [1], "index": 1}, {"vector": [0], "index": 0}]}
    assert check_reply("embeddings", reply) is None
    assert [each["vector"] for each in reply["embeddings"]] == [[0], [1]]


def test_a_reply_answers_its_request() -> None:
    request: Any = {"input": [{"text": "a"}, {"text": "b"}], "documents": [{"text": "a"}]}
    one: Any = {"embeddings": [{"index": 0, "vector": [1.0]}], "results": [{"index": 1, "score": 1.0}]}
    assert check_answers("embeddings", one, request) == "1 embeddings came for 2 inputs"
    assert check_answers("rerank", one, request) == "the answer ranks document 1 of 1"


def test_what_a_request_loses() -> None:
    lost = ledger.field_loss({"input": "kept", "user": "dropped"}, "embeddings")
    request: Any = {
        "operation": "embeddings",
        "model": "m",
        "input": [],
        "encoding_format": "base64",
        "user": "u",
    }
    assert lost(request) == ("user",)
    counting = ledger.field_loss({"messages": "kept"}, "count_tokens")
    chat: Any = {"messages": [], "temperature": 0.5, "max_tokens": 5, "tools": []}
    assert counting(chat) == ("tools",)  # only what would have been counted is missed


def test_every_operation_has_its_forms() -> None:
    assert [name for name, each in OPERATIONS.items() if each.batched] == ["embeddings"]
    assert form("count_tokens").request == "Request"
    assert form("images") is OPERATIONS["chat"]


def test_prices_by_the_search_and_of_input_alone() -> None:
    by_search = (PriceRow(None, None, None, None, 2_000_000),)
    assert cost_of({"search_units": 3}, by_search, 0.0).total == 6_000_000
    assert cost_of({}, by_search, 0.0).total == 2_000_000
    input_only = (PriceRow(1_000_000_000, None, None, None),)
    assert cost_of({"input_tokens": 10, "output_tokens": 0}, input_only, 0.0).total == 10_000
    assert worst_cost(10, 0, input_only, 0.0) == 10_000
    assert worst_cost(10, 1, input_only, 0.0) is None
