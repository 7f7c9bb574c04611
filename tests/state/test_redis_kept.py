"""What hosts keep together, and what they tell each other of deployments."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from redis_ledgers import DEADLINE_MS, SETTLE_MS, got, until
from shim import Shim
from store_server import Server

from engine.plan.types import Breaker
from engine.state.aside import Aside, place_of
from engine.state.health import ALONE, Ended, Health
from engine.state.memory import MemoryState
from engine.state.redis.address import parse
from engine.state.redis.connection import Away
from engine.state.redis.hints import Hints
from engine.state.redis.kept import LARGEST, SHARED, SharedKept, digest, encode
from engine.state.redis.store import RedisStore
from engine.version import VERSION


@contextlib.asynccontextmanager
async def hosts(address: str, count: int) -> AsyncIterator[list[tuple[RedisStore, MemoryState]]]:
    made = []
    try:
        for _ in range(count):
            store = await RedisStore.open(parse(address), settle_ms=SETTLE_MS, deadline_ms=DEADLINE_MS)
            state = MemoryState()
            state.shared = SharedKept(store, state.kept)
            made.append((store, state))
        yield made
    finally:
        for store, state in made:
            await state.shared.close()
            await store.close()


@pytest.mark.parametrize(("space", "value"), [("sticky", "gpt"), ("answers", b'{"at": 1, "x": "\xc3\xa9"}')])
async def test_what_one_host_keeps_another_finds(store_server: Server, space: str, value: object) -> None:
    async with hosts(store_server.address, 2) as ((_, one), (_, other)):
        one.keep(space, "node\0someone@acme.ai", value, 60_000, 1_000)
        assert one.recall(space, "node\0someone@acme.ai", 1_000) == value  # at once
        await one.shared.close()
        assert await got(other.recall(space, "node\0someone@acme.ai", 999_000)) == value
        assert other.recall(space, "node\0someone@acme.ai", 999_001) == value  # and no question again
        assert await got(other.recall(space, "another", 999_000)) is None
        keys = store_server.call("KEYS", "engine:kept:*")
        assert not any(b"someone" in key for key in keys)
        assert 0 < store_server.call("PTTL", keys[0]) <= 60_000


async def test_a_later_value_is_seen_when_the_copy_is_old(store_server: Server) -> None:
    async with hosts(store_server.address, 2) as ((_, one), (_, other)):
        for value in ("a", "b"):
            one.keep("sticky", "k", value, 60_000, 0)
            await one.shared.close()
            now = 0 if value == "a" else SHARED["sticky"] + 1
            assert await got(other.recall("sticky", "k", now)) == value


async def test_a_space_that_is_not_shared_stays_here(store_server: Server) -> None:
    async with hosts(store_server.address, 1) as ((_, one),):
        one.keep("label vectors", "k", [1.0, 2.0], 60_000, 0)
        assert one.recall("label vectors", "k", 0) == [1.0, 2.0]
        await one.shared.close()
        assert store_server.call("KEYS", "engine:kept:*") == []


NAME = digest("sticky", "k")
GOOD = json.loads(encode(NAME, "gpt"))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**GOOD, "text": "other"}),
        json.dumps({**GOOD, "v": VERSION + "x"}),
        json.dumps({**GOOD, "key": digest("sticky", "other")}),
        json.dumps({**GOOD, "text": ["gpt"]}),
        json.dumps({key: value for key, value in GOOD.items() if key != "check"}),
        json.dumps({"v": VERSION, "key": NAME, "bytes": "no base64!", "check": 1}),
        b"x" * (LARGEST + 10),
    ],
    ids=[
        "cut",
        "list",
        "null",
        "no text",
        "deep",
        "changed",
        "version",
        "foreign",
        "type",
        "bare",
        "bytes",
        "huge",
    ],
)
async def test_what_is_no_value_of_this_place_is_passed_over(store_server: Server, data: str | bytes) -> None:
    """R8."""
    store_server.call("SET", f"engine:kept:{{{NAME}}}", data)
    async with hosts(store_server.address, 1) as ((_, one),):
        assert await got(one.recall("sticky", "k", 0)) is None
        assert one.shared.figures()["ignored"] == 1


def test_a_huge_value_is_not_shared() -> None:
    assert encode(NAME, "x" * LARGEST) is None
    assert encode(NAME, object()) is None


async def test_while_the_store_is_away_each_keeps_its_own(store_server: Server) -> None:
    async with Shim.before(store_server.port) as shim, hosts(shim.address, 1) as ((store, one),):
        one.keep("sticky", "k", "gpt", 60_000, 0)
        await one.shared.close()
        shim.refuse = True
        shim.cut()
        while store.link.up:
            with contextlib.suppress(Away):
                await store.link.call(("PING",))
        assert one.recall("sticky", "k", 30_000) == "gpt"
        one.keep("sticky", "l", "claude", 60_000, 30_000)
        assert one.recall("sticky", "l", 30_000) == "claude"
        assert one.recall("sticky", "m", 30_000) is None


# --- hints ----------------------------------------------------------------------------------------------


def deployment(name: str = "gpt", url: str = "https://a") -> SimpleNamespace:
    credential = SimpleNamespace(name="key", provider="openai")
    return SimpleNamespace(
        name=name, provider="openai", base_url=url, wire_model="m", breaker=Breaker(0.5, 4, 10_000, 1_000),
        credentials=(credential,), probe=None,
    )  # fmt: skip


async def test_hosts_tell_each_other_what_is_set_aside(store_server: Server) -> None:
    async with hosts(store_server.address, 3) as made:
        known = {"gpt": deployment(), "other": deployment("other")}
        healths, hints = [], []
        for at, (store, _) in enumerate(made):
            here = dict(known) if at < 2 else {"gpt": deployment(url="https://elsewhere")}
            health = Health(lambda: 0.0)

            def take(aside: Aside, health: Health = health, here: dict = here) -> None:
                health.hinted(here[aside.deployment], aside, 0)

            each = Hints(store, f"host {at}", take)
            health.tell_aside = each.tell
            healths.append(health)
            hints.append(each)
        for store, _ in made:
            await until(store.feed.listening.is_set)
        for _ in range(4):
            healths[0].ended(known["gpt"], Ended("server"), 0)
        assert healths[0].told("gpt", 0)["breaker"] == "open"
        await until(lambda: hints[1].heard and hints[2].heard)
        assert healths[1].told("gpt", 0)["breaker"] == "half_open"
        assert healths[1].admit(known["gpt"], ["key"], ALONE, 0) == 1  # a trial
        assert healths[1].admit(known["gpt"], ["key"], ALONE, 0).why == "the breaker of gpt is open"
        assert healths[2].told("gpt", 0)["breaker"] == "closed"  # another place has that name there
        healths[1].ended(known["gpt"], Ended(None, trial=1), 0)
        assert healths[1].told("gpt", 0)["breaker"] == "closed"
        healths[1].ended(known["gpt"], Ended("rate_limited", delay_ms=2_000, credential="key"), 0)
        await until(lambda: hints[0].heard)
        assert healths[0].told("gpt", 0)["cooling_ms"] == {"key": 2_000}
        assert hints[1].heard == 1  # its own it does not hear
        for each in hints:
            await each.close()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"from":"x","deployment":"gpt","kind":"shut"}'])
async def test_a_hint_that_is_none_is_ignored(store_server: Server, data: bytes) -> None:
    async with hosts(store_server.address, 1) as ((store, _),):
        hints = Hints(store, "me", lambda aside: pytest.fail(str(aside)))
        await until(store.feed.listening.is_set)
        store_server.call("PUBLISH", "engine:hints", data)
        await until(lambda: hints.ignored)


async def test_a_version_that_changes_is_told(store_server: Server) -> None:
    async with hosts(store_server.address, 2) as ((one, _), (other, _)):
        told: list[str] = []
        one.feed.watch("engine:keys:version", lambda: told.append("one"))
        await until(one.feed.listening.is_set)
        told.clear()
        await other.feed.bump("engine:keys:version")
        await until(lambda: told)
        store_server.call("INCR", "engine:keys:version")  # by somebody who tells nobody
        told.clear()
        await one.feed.poll()
        assert told == ["one"]
        await one.feed.poll()
        assert told == ["one"]
        assert place_of(deployment()) != place_of(deployment(url="https://b"))
        await asyncio.sleep(0)
