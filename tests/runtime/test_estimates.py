"""What a call used where the vendor does not say: counted by a tokenizer, else guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.plan.vendors import Facts, PriceRow
from engine.runtime import tokenizers, tokens
from engine.runtime.tally import Tally, reply_tokens
from engine.upstream.protocol import Chunk
from engine.wire.canonical import Event, Reply, Request, Usage

Bench = Any
Kit = Any
Maker = Callable[..., Bench]

O200K = "o200k_base"
PRICE = PriceRow(2_000_000_000, 6_000_000_000)

#: Of the package that brings the vocabularies.
pytestmark = pytest.mark.filterwarnings("ignore:open_binary is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def count() -> tokenizers.Count:
    found = tokenizers.read(O200K)
    assert found is not None, "the extra `tokenizers` is not installed"
    return found


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello world", 2), ("", 0), ("x" * 8, 1), ("日本語", 2), ("\ud800", 1), (" ", 1)],
)
def test_a_tokenizer_counts_as_its_model_does(text: str, tokens: int, count: tokenizers.Count) -> None:
    assert count(text) == tokens


def test_a_long_text_is_counted_in_part(count: tokenizers.Count) -> None:
    assert abs(count("hello world " * 20_000) - 40_000) <= 200


def test_what_is_not_there() -> None:
    assert tokenizers.tokenizer(None) is None
    assert tokenizers.read("no such vocabulary") is None
    assert tokenizers.tokenizer("no such vocabulary") is None


@pytest.mark.parametrize("keep", [True, False])
def test_a_stream_is_counted_where_its_text_was_kept(keep: bool, count: tokenizers.Count) -> None:
    tally = Tally(keep=keep)
    tally.take(Chunk([Event(type="text", text="hel"), Event(type="text", text="lo world")]))
    assert tally.size() == 11
    assert tally.tokens(count) == (2 if keep else 3)
    assert tally.tokens(None) == 3
    unread = Tally(keep=keep)
    unread.take(Chunk([], unread=lambda: 40))
    assert unread.tokens(count) == 10


def test_whole_answers_and_requests(count: tokenizers.Count) -> None:
    reply = Reply(choices=[{"message": {"content": [{"type": "text", "text": "hello world"}]}}])
    assert (reply_tokens(reply, count), reply_tokens(reply, None)) == (2, 3)
    wide = Reply(choices=[{"message": {"content": [{"type": "text", "text": "日本語"}]}}])
    assert reply_tokens(wide, None) == 3  # by bytes: a sign is no quarter of a token
    request = Request(messages=[{"role": "user", "content": [{"type": "text", "text": "hello world"}]}])
    assert tokens.estimate(request, count) == 2 + 8
    assert tokens.estimate(request, None) == 3


async def test_the_executor_counts(bench: Maker, kit: Kit, count: tokenizers.Count) -> None:
    facts = Facts(prices=(PRICE,), output=1_000, tokenizer=O200K)
    for stream in (True, False):
        b = bench(
            kit.use("a"),
            {"a": [kit.Say("hello", " world", end="silent", usage=Usage())]},
            deployments=(kit.deployment("a", facts=facts),),
        )
        answer = await b.run(stream=stream)
        if stream:
            await b.read(answer)
        (entry,) = b.record.attempts
        assert entry.usage["output_tokens"] == 2
        assert entry.estimated


async def test_a_vendors_own_figure_wins(bench: Maker, kit: Kit) -> None:
    """Also where nobody here knows a price."""
    for prices in ((PRICE,), ()):
        b = bench(
            kit.use("a"),
            {"a": [kit.Say(usage=Usage(input_tokens=10, output_tokens=5, cost=0.25))]},
            deployments=(kit.deployment("a", facts=Facts(prices=prices, output=1_000)),),
        )
        await b.run()
        assert b.record.cost == 250_000_000
        assert b.record.attempts[0].cost.known


async def test_the_time_of_a_call_is_billed(bench: Maker, kit: Kit) -> None:
    row = PriceRow(0, 0, second=1_000_000)
    b = bench(
        kit.use("a", total_ms=60_000, whole_ms=60_000, retry_extra=0),
        {"a": [kit.Say(first=1_500)]},
        deployments=(kit.deployment("a", facts=Facts(prices=(row,), output=1_000)),),
    )
    await b.run()
    (entry,) = b.record.attempts
    assert (entry.cost.time, entry.cost.total) == (1_500_000, 1_500_000)
    assert entry.reserved == 60_000_000


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    said=st.dictionaries(st.sampled_from(("input_tokens", "output_tokens")), st.integers(0, 30)),
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=3),
    limit=st.integers(1, 20),
    known=st.booleans(),
)
async def test_an_estimate_is_never_more_than_was_reserved(
    said: dict[str, int], texts: list[str], limit: int, known: bool, bench: Maker, kit: Kit
) -> None:
    facts = Facts(prices=(PRICE,), output=limit, tokenizer=O200K if known else None)
    b = bench(
        kit.use("a"),
        {"a": [kit.Say(*texts, end="silent", usage=Usage(**said))]},  # type: ignore[typeddict-item] # of any keys
        deployments=(kit.deployment("a", facts=facts),),
    )
    await b.run()
    (entry,) = b.record.attempts
    told = dict(said) if entry.estimated else {}
    estimated = {name: used for name, used in entry.usage.items() if name not in told}
    assert estimated.get("output_tokens", 0) <= limit or not entry.estimated
    assert estimated.get("input_tokens", 0) <= b.record.input_tokens


_price = st.integers(0, 10**10)
_maybe = st.none() | _price
_rows = st.builds(PriceRow, _price, _price, _maybe, _maybe, st.integers(0, 10**6), *[_maybe] * 4)
_KINDS = ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    row=_rows,
    read=st.integers(0, 30),
    written=st.integers(0, 50),
    parts=st.dictionaries(st.sampled_from(_KINDS), st.integers(0, 60)),
)
async def test_a_reserve_is_never_below_what_a_call_costs(
    row: PriceRow, read: int, written: int, parts: dict[str, int], bench: Maker, kit: Kit
) -> None:
    """Whatever a vendor reports within what was asked of it."""
    usage = {**parts, "input_tokens": read, "output_tokens": written}
    b = bench(
        kit.use("a"),
        {"a": [kit.Say(usage=usage)]},
        deployments=(kit.deployment("a", facts=Facts(prices=(row,), output=50)),),
    )
    await b.run()
    (entry,) = b.record.attempts
    assert b.record.input_tokens >= 30
    assert entry.cost.total <= entry.reserved


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "estimated"),
    [
        ({"input_tokens": 0, "output_tokens": 0}, True),
        ({"input_tokens": 10, "output_tokens": 0}, True),
        ({"input_tokens": 10, "output_tokens": 5}, False),
        ({"input_tokens": 0, "output_tokens": 0, "cost": 0.0}, False),
    ],
)
async def test_zeros_that_cannot_be_are_no_usage(
    bench: Maker, kit: Kit, said: Usage, estimated: bool, stream: bool
) -> None:
    """Servers that do not count say so in zeros; a budget would be free there."""
    b = bench(kit.use("a"), {"a": [kit.Say("some words", usage=said)]})
    answer = await b.run(stream=stream)
    if stream:
        await b.read(answer)
    (entry,) = b.record.attempts
    assert entry.estimated is estimated
    assert (b.record.cost > 0) is ("cost" not in said)
