"""What no price knows is refused, in every shipped format, and what costs as usual is not."""

from __future__ import annotations

from typing import Any

import pytest
from dialects import make_dialect, shipped_dialect

from engine.wire.costs import BoundCosts, hosted_names

#: The formats that clients may speak.
INGRESS = ("anthropic_messages", "bedrock_converse", "cohere_v2", "gemini", "ollama", "openai_chat",
           "openai_completions", "openai_responses")  # fmt: skip

DEARER: list[dict[str, Any]] = [
    {"service_tier": "priority"},
    {"service_tier": "Fast"},
    {"speed": "fast"},
    {"inference_geo": "us"},
    {"background": True},
    {"best_of": 2},
    {"best_of": 4, "n": 3},
]
USUAL: list[dict[str, Any]] = [
    {},
    *({"service_tier": tier} for tier in ("auto", "DEFAULT", "standard_only", "on_demand", "flex", "batch")),
    {"service_tier": None, "speed": "standard", "inference_geo": "global", "background": False},
    {"best_of": 1},
    {"best_of": 3, "n": 3},
]
#: Of one format.
OWN: list[tuple[str, dict[str, Any]]] = [
    ("bedrock_converse", {"serviceTier": {"type": "priority"}}),
    ("bedrock_converse", {"performanceConfig": {"latency": "optimized"}}),
    ("bedrock_converse", {"guardrailConfig": {"guardrailIdentifier": "g"}}),
    ("anthropic_messages", {"mcp_servers": [{"type": "url", "url": "https://a.example"}]}),
    ("gemini", {"serviceTier": "PRIORITY"}),
    ("openai_chat", {"web_search_options": {}}),
    ("openai_chat", {"models": ["dearer"]}),
    ("openai_chat", {"plugins": [{"id": "web"}]}),
]


def costs(name: str) -> BoundCosts:
    dialect = shipped_dialect(name)
    return BoundCosts(dialect.costs, {"chat": dialect.operations["chat"].wire})


@pytest.mark.parametrize("name", INGRESS)
def test_every_format_knows_what_is_dearer(name: str) -> None:
    found = [costs(name).dearer(body) for body in DEARER]
    assert [each and each.field for each in found] == [next(iter(body)) for body in DEARER]
    assert [costs(name).dearer(body) for body in USUAL] == [None] * len(USUAL)


@pytest.mark.parametrize(("name", "body"), OWN)
def test_what_one_format_has(name: str, body: dict[str, Any]) -> None:
    bought = costs(name).dearer(body)
    assert bought is not None
    assert bought.field == next(iter(body))


@pytest.mark.parametrize("name", ["openai_chat", "openai_responses", "anthropic_messages"])
def test_what_is_written_for_a_target_is_no_dearer(name: str) -> None:
    """Whatever format it came in: the canonical request has the tier."""
    bought = costs(name).dearer_there({"service_tier": "priority"}, "chat")
    assert bought is not None
    assert "priority" in bought.why
    assert costs(name).dearer_there({"service_tier": "flex", "model": "m"}, "chat") is None


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("openai_responses", {"previous_response_id": "r"}),
        ("openai_responses", {"input": [{"type": "item_reference", "id": "i"}]}),
        ("anthropic_messages", {"mcp_servers": [{}], "container": None}),
        ("cohere_v2", {"documents": ["d"]}),
        ("gemini", {"cachedContent": "c"}),
    ],
)
def test_what_a_vendor_reads_that_is_not_in_the_request(name: str, body: dict[str, Any]) -> None:
    assert costs(name).reads_elsewhere(body)
    assert not costs(name).reads_elsewhere({"input": "hi"})


def test_a_dialect_of_ones_own_has_rules_of_its_own() -> None:
    plan, out = make_dialect(
        "can: [stream]\nfinish: {stop: stop}\noperations: {}\n"
        "costs: {dearer: [{field: lane.kind, usual: [Slow, 1], why: is an express lane}]}\n"
    )
    assert plan is not None, list(map(str, out))
    own = BoundCosts(plan.costs, {})
    assert own.dearer({"lane": {"kind": "slow"}}) is None
    assert own.dearer({"lane": {"kind": 1}}) is None
    bought = own.dearer({"lane": {"kind": "fast" * 20}})
    assert bought is not None
    assert bought.why.startswith("lane.kind: 'fastfast")
    assert bought.why.endswith("... is an express lane")


def test_a_hosted_tool_is_called_by_its_type_or_its_keys() -> None:
    assert list(hosted_names({"type": "web_search_20250305", "max_uses": 2})) == ["web_search_20250305"]
    assert list(hosted_names({"googleSearch": {}, "urlContext": {}})) == ["googleSearch", "urlContext"]
