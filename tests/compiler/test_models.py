"""What is known of a model: a row of the table under what the provider file says, and `extends`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.compiler.facts_table import Table, table
from engine.compiler.load import load
from engine.compiler.models import FREE, Models
from engine.compiler.parse import parse
from engine.compiler.vendors import Vendors
from engine.diagnostics import Diagnostics
from engine.plan.vendors import Facts, PriceRow, PriceTier
from engine.spec.provider import ProviderSpec

M = 1_000_000_000
TABLE = Table(
    "t",
    {
        "a": {"context": 100, "output": 10, "can": ["tools"], "efforts": ["low"], "source": "s", "prices": [
            {"since": "2026-01-01", "input": 1, "cached": 0.1, "output": 2, "source": "s",
             "tiers": [{"above": 50, "input": 2, "cached": 0.2, "output": 4}]},
            {"since": "2027-01-01", "input": 3, "output": 6, "source": "s"},
        ]},
        "b": {"context": 7, "source": "s"},
    },
    {"s": {"name": "some 1.0", "date": "2026-11-23"}},
)  # fmt: skip
LATER = 1_798_761_600  # 2027-01-01


def models(written: dict[str, Any], **options: Any) -> Models:
    spec = ProviderSpec.model_validate({"dialect": "openai_chat", "models": written})
    return Models(spec.models or {}, TABLE, **options)


def test_a_row_of_the_table() -> None:
    facts = models({}).facts("a")
    assert facts == Facts(
        context=100, output=10, can=("tools",), efforts=("low",), source="some 1.0, 2026-11-23", prices=(
            PriceRow(1 * M, 2 * M, 100_000_000, source="some 1.0, 2026-11-23",
                     tiers=(PriceTier(50, 2 * M, 4 * M, 200_000_000),)),
            PriceRow(3 * M, 6 * M, since=LATER, source="some 1.0, 2026-11-23"),
        ),
    )  # fmt: skip


PATCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"context": "2k"}, {"context": 2000, "output": 10, "can": ("tools",)}),
    ({"can": None, "output": None}, {"can": None, "output": None, "context": 100}),
    ({"price": "free"}, {"prices": FREE}),
    ({"source": "a bill"}, {"source": "a bill", "context": 100}),
]


@pytest.mark.parametrize(("patch", "facts"), PATCHES)
def test_what_a_file_says_counts_key_by_key(patch: dict[str, Any], facts: dict[str, Any]) -> None:
    found = models({"a": patch}).facts("a")
    assert found is not None
    assert {key: getattr(found, key) for key in facts} == facts


def test_a_stated_price_holds_at_all_times_and_sizes() -> None:
    found = models({"a": {"input_price": "$5/M", "cached_price": None, "source": "a bill"}}).facts("a")
    assert found is not None
    assert [(row.input, row.cached, row.output, row.since) for row in found.prices] == [
        (5 * M, None, 2 * M, None), (5 * M, None, 6 * M, LATER),
    ]  # fmt: skip
    assert found.prices[0].tiers == (PriceTier(50, None, 4 * M),)
    assert {row.source for row in found.prices} == {"a bill"}
    assert models({"b": {"output_price": "$1/M"}}).facts("b") == Facts(
        context=7, prices=(PriceRow(output=M),), source="some 1.0, 2026-11-23"
    )


def test_models_come_and_go() -> None:
    known = models({"a": None, "c": {"id": "b", "output": 3}})
    assert known.names() == ["b", "c"]
    assert known.facts("a") is None
    assert known.facts("nobody") is None
    assert (known.wire("b"), known.wire("c")) == ("b", "b")
    assert known.facts("c") == Facts(context=7, output=3, source="some 1.0, 2026-11-23")
    assert known.first() == "c"
    assert known.unknown is False
    assert Models({}).unknown is True


def test_another_vendors_table_has_no_prices_for_us() -> None:
    found = models({}, priced=False).facts("a")
    assert found is not None
    assert found.prices == ()
    assert found.context == 100
    free = models({}, free=True).facts("b")
    assert free is not None
    assert free.prices == FREE


# --- through files ----------------------------------------------------------------------------------------


def vendors(root: Path, **files: str) -> tuple[Vendors, Diagnostics]:
    (root / "providers.d").mkdir()
    for name, text in files.items():
        (root / "providers.d" / f"{name}.yaml").write_text(text)
    out = Diagnostics()
    sources = load(root, None, out)
    documents = [parse(source, out) for source in sources.files]
    return Vendors(sources, [each for each in documents if each is not None], out), out


OWN = "extends: openai\nbase_url: https://proxy.acme.ai/v1\n"


@pytest.mark.parametrize(
    ("text", "context", "priced"),
    [
        (OWN, True, False),  # the wire of another, not its promises
        (OWN + "facts: openai\n", True, True),
        ("dialect: openai_chat\nbase_url: https://a.ai/v1\nfacts: openai\n", True, True),
    ],
)
def test_extends_takes_facts_and_leaves_prices(
    tmp_path: Path, text: str, context: bool, priced: bool
) -> None:
    found, _ = vendors(tmp_path, acme=text)
    vendor = found.vendor("acme")
    assert vendor is not None
    facts = vendor.models.facts("gpt-5-mini")
    assert facts is not None
    assert (facts.context is not None, bool(facts.prices)) == (context, priced)


def test_a_patch_of_the_shipped_file(tmp_path: Path) -> None:
    text = "extends: openai\nmodels:\n  gpt-5-mini: {output: 5, retires: x}\n"
    found, out = vendors(
        tmp_path,
        openai=text.replace(", retires: x", ", efforts: null") + "  gpt-5-nano: null\n  new: {context: 1k}\n",
    )
    vendor = found.vendor("openai")
    assert not list(out)
    assert vendor is not None
    mini, new = vendor.models.facts("gpt-5-mini"), vendor.models.facts("new")
    assert mini is not None
    assert (mini.output, mini.efforts, bool(mini.prices)) == (5, None, True)
    assert vendor.models.facts("gpt-5-nano") is None
    assert new == Facts(context=1000, tools=mini.tools)
    assert new.tools, "what the vendor's own tools cost is so for every model"
    assert vendor.models.unknown is False


def test_a_table_is_read_when_a_model_is_asked_for(tmp_path: Path) -> None:
    """One file per process and vendor; only the rows that are asked for are made into facts."""
    table.cache_clear()
    found, _ = vendors(tmp_path)
    vendor = found.vendor("openai")
    assert vendor is not None
    assert vendor.models.facts("gpt-5-mini") is not None
    found.vendor("ollama")
    assert table("openai") is vendor.models.table
    loaded = [name for name in ("groq", "openrouter", "bedrock") if _is_loaded(name)]
    assert loaded == []


def _is_loaded(name: str) -> bool:
    before = table.cache_info().misses
    table(name)
    return table.cache_info().misses == before
