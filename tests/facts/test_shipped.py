"""The committed tables: well-formed, sorted, every price with its source and date, and read as facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, get_args, get_type_hints

import pytest

from engine.builtin import builtin
from engine.compiler.facts_table import table, table_names
from engine.facts.__main__ import _SOURCES, written
from engine.plan.vendors import Facts
from engine.spec.dialect import Ability
from engine.wire.pricing import KINDS, row_at

TABLES = table_names()
HINTS = get_type_hints(Facts)


def data(name: str) -> Any:
    return json.loads((builtin("providers.d") / "facts" / f"{name}.json").read_text())


def test_there_is_one_for_every_table_that_is_described() -> None:
    assert sorted(written(_SOURCES)) == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_table(name: str) -> None:
    text = (builtin("providers.d") / "facts" / f"{name}.json").read_text()
    found = data(name)
    assert found["table"] == name
    assert len(text) < 250_000
    assert list(found["models"]) == sorted(found["models"])
    for source in found["sources"].values():
        assert date.fromisoformat(source["date"])
        assert source["name"]
        assert source["licence"] == "MIT"
    for model, row in found["models"].items():
        check_row(model, row, found)


def check_row(model: str, row: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    assert row["source"] in found["sources"], model
    assert set(row.get("can", ())) <= set(get_args(Ability)), model
    for key in ("sampling", "thinking", "upstream", "schema_by"):
        assert row.get(key) in (None, *literals(HINTS[key])), (model, key)
    assert row.get("operation") in (None, "embeddings", "rerank"), model
    assert all(rule < len(found["rules"]) for rule in row.get("rules", ())), model
    if "retires" in row:
        assert date.fromisoformat(row["retires"]), model
    for price in row.get("prices", ()):
        assert price["source"] in found["sources"], model
        assert price.keys() & {"input", "output", "request"}, model
        above = [tier["above"] for tier in price.get("tiers", ())]
        assert above == sorted(set(above)), model
        for each in (price, *price.get("tiers", ())):
            assert all(0 <= each[kind] < 10_000 for kind in KINDS if kind in each), model


def literals(hint: Any) -> tuple[Any, ...]:
    return tuple(word for each in get_args(hint) for word in get_args(each))


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_read(name: str) -> None:
    found = table(name)
    assert found is not None
    now = 1_795_392_000  # 2026-11-23
    for model in found.rows:
        facts = found.facts(model)
        assert facts is not None
        assert facts.source is not None
        assert "2026" in facts.source
        assert all(price.source for price in facts.prices)
        assert not facts.prices or row_at(facts.prices, now) is not None, model


def test_no_such_table() -> None:
    assert table("nobody") is None
    openai = table("openai")
    assert openai is not None
    assert openai.facts("gpt-nobody") is None


#: What the survey of vendors found, and a change of which should be looked at by somebody.
KNOWN = [
    ("openai", "gpt-5.4", {"upstream": "tools_by_responses", "sampling": "without_reasoning"}),
    ("openai", "gpt-5.4", {"context": 1_050_000, "output": 128_000}),
    ("openai", "gpt-6-astra", {"upstream": "tools_by_responses", "sampling": "never", "output": 128_000}),
    ("openai", "gpt-4.1", {"upstream": "chat", "sampling": "always", "thinking": "none"}),
    ("openai", "gpt-5-pro", {"upstream": "responses"}),
    ("anthropic", "claude-opus-5-5", {"sampling": "never", "api_version": "2026-10-21"}),
    ("anthropic", "claude-opus-5-5", {"thinking": "adaptive", "forced_tools": False}),
    ("anthropic", "claude-haiku-4-5", {"sampling": "always", "api_version": "2023-06-01"}),
    ("anthropic", "claude-haiku-4-5", {"thinking": "budget"}),
    ("gemini", "gemini-2.5-flash", {"thinking": "budget"}),
    ("gemini", "gemini-4-argon", {"thinking": "level"}),
    ("moonshot", "kimi-k3", {"forced_tools": False}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "model", "facts"), KNOWN)
def test_known_facts(name: str, model: str, facts: dict[str, Any]) -> None:
    found = table(name)
    assert found is not None
    row = found.facts(model)
    assert row is not None
    assert {key: getattr(row, key) for key in facts} == facts


def test_known_prices() -> None:
    deepseek, anthropic = table("deepseek"), table("anthropic")
    assert deepseek is not None
    assert anthropic is not None
    flash, haiku = deepseek.facts("deepseek-flash"), anthropic.facts("claude-haiku-5-5")
    assert flash is not None
    assert haiku is not None
    assert [row.input for row in flash.prices] == [150_000_000, 300_000_000]
    assert flash.prices[1].hours[0].days == (1, 2, 3, 4, 5)
    assert [tier.above for tier in haiku.prices[0].tiers] == [100_000]
    assert haiku.prices[0].cache_write_1h == 200_000_000
