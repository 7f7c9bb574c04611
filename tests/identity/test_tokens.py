"""Tokens as identities over time: keys come and go, issuers are away, good tokens are remembered."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from minting import ISSUER, NOW, claims, key_set, token

from engine.errors import RequestError
from engine.identity import tokens as tokens_module
from engine.identity.fetch import NotFetched
from engine.identity.key_set import KeySet, read_key_set
from engine.identity.tokens import LibraryMissing, Tokens
from engine.observe.log import Log
from engine.observe.metrics import Metrics
from engine.plan.identity import Issuer, Take
from engine.plan.people import Group, People, Tag
from engine.runtime.views import Key


class World:
    """A clock, an issuer that answers as it is told to, and the tokens of one process."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.ticks = 1000.0
        self.fetches = 0
        self.shown: Any = ("rsa", "p256")
        self.gate: asyncio.Event | None = None
        self.lines = io.StringIO()
        self.metrics = Metrics()
        self.tokens = Tokens(
            root,
            Log(stream=self.lines, text=False),
            self.metrics,
            now=lambda: NOW - 1000 + self.ticks,
            ticks=lambda: self.ticks,
            fetch=lambda issuer, jwks: self._fetch,
        )
        self.runs(**more)

    def runs(self, **more: Any) -> None:
        """A plan with this issuer goes live."""
        people = more.pop("people", {})
        told: dict[str, Any] = {
            "name": "corp",
            "issuer": ISSUER,
            "audience": ("llm",),
            "algorithms": ("RS256", "ES256"),
            **more,
        }
        self.people = People(issuers=(Issuer(**told),), **people)
        self.tokens.prepare(self.people)
        self.tokens.live(self.people)

    async def _fetch(self) -> KeySet:
        self.fetches += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.shown, Exception):
            raise self.shown
        return read_key_set(key_set(*self.shown))

    async def who(self, shown: bytes) -> Key | None:
        found = self.tokens.find(shown, {}, {})
        return found if found is None or isinstance(found, Key) else await found

    def at_once(self, shown: bytes) -> Key | None:
        """The answer of a request that waits for nobody."""
        found = self.tokens.find(shown, {}, {})
        assert found is None or isinstance(found, Key)
        return found

    def count(self, result: str) -> float:
        return self.tokens._counts.get(("corp", result), 0)


@pytest.fixture
async def worlds(tmp_path: Path) -> Any:
    made: list[World] = []

    def make(**more: Any) -> World:
        made.append(World(tmp_path, **more))
        return made[-1]

    yield make
    for world in made:
        await world.tokens.close()


Worlds = Callable[..., World]


async def test_the_first_waits_for_the_keys_and_no_other(worlds: Worlds) -> None:
    world = worlds()
    world.gate = asyncio.Event()
    waiting = [asyncio.create_task(world.who(token())) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    world.gate.set()
    assert all(await asyncio.gather(*waiting))
    assert world.fetches == 1
    assert world.at_once(token()) is not None


async def test_a_good_token_is_looked_at_once(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds()
    shown = token()
    first = await world.who(shown)
    for _ in range(10):
        assert world.at_once(shown) is first
    assert world.count("good") == 1
    # Of the whole token: one that differs in its last character is another.
    assert world.at_once(shown[:-2] + (b"AA" if shown[-2:] != b"AA" else b"BB")) is None
    assert world.count("signature") == 1


async def test_a_remembered_token_ends_when_it_ends(worlds: Worlds) -> None:
    world = worlds()
    shown = token(claims(exp=NOW + 100))
    assert await world.who(shown) is not None
    world.ticks += 129
    assert world.at_once(shown) is not None
    world.ticks += 1
    assert world.at_once(shown) is None
    assert world.count("expired") == 1


async def test_no_more_are_remembered_than_so_many(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "KNOWN", 5)
    world = worlds()
    for n in range(20):
        assert await world.who(token(claims(sub=str(n)), "p256")) is not None
    assert len(world.tokens._known) == 5


async def test_a_new_key_is_fetched_for_the_first_token_that_names_it(worlds: Worlds) -> None:
    world = worlds()
    old = token()
    assert await world.who(old) is not None
    world.shown = ("rsa", "other rsa")  # both are good for a while
    world.ticks += 11
    assert await world.who(token(key="other rsa")) is not None
    assert world.at_once(old) is not None
    assert world.fetches == 2
    world.shown = ("other rsa",)  # and then the old one is taken out: what it signed ends with it
    world.ticks += 11
    assert await world.who(token(headers={"kid": "newer"})) is None
    assert world.fetches == 3
    assert world.at_once(old) is None
    assert world.at_once(token(key="other rsa")) is not None


async def test_made_up_keys_move_nothing(worlds: Worlds) -> None:
    world = worlds()
    assert await world.who(token()) is not None
    world.ticks += 11
    for n in range(200):
        assert await world.who(token(headers={"kid": f"k{n}"})) is None
    assert world.fetches == 2  # one for all of them
    world.ticks += 11
    await world.who(token(headers={"kid": "k"}))
    assert world.fetches == 3


async def test_a_fetch_of_one_holds_up_no_other(worlds: Worlds) -> None:
    world = worlds()
    assert await world.who(token()) is not None
    world.ticks += 11
    world.gate = asyncio.Event()
    waits = asyncio.create_task(world.who(token(headers={"kid": "new"})))
    await asyncio.sleep(0)
    assert world.at_once(token(claims(sub="bob"))) is not None
    assert not waits.done()
    world.gate.set()
    assert await waits is None


async def test_who_leaves_takes_nobodys_fetch_along(worlds: Worlds) -> None:
    world = worlds()
    world.gate = asyncio.Event()
    leaves, stays = asyncio.create_task(world.who(token())), asyncio.create_task(world.who(token()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    world.gate.set()
    assert await stays is not None
    assert leaves.cancelled()
    assert world.fetches == 1


async def test_the_last_keys_go_on_for_a_while(worlds: Worlds) -> None:
    world = worlds(keep_ms=3_600_000)
    shown = token(claims(exp=NOW + 10**6))
    assert await world.who(shown) is not None
    world.shown = NotFetched("https://login.acme.ai/keys answered 500")
    world.ticks += 3599
    assert await world.who(token(claims(exp=NOW + 10**6), headers={"kid": "new"})) is None
    assert world.at_once(shown) is not None
    assert '"issuer_keys_not_fetched"' in world.lines.getvalue()
    world.ticks += 2
    with pytest.raises(RequestError) as told:
        await world.who(shown)
    assert (told.value.status, told.value.code) == (503, "identity_unavailable")
    world.shown = ("rsa",)
    world.ticks += 11
    assert await world.who(shown) is not None
    assert world.lines.getvalue().count("issuer_keys_not_fetched") == 1
    assert '"issuer_keys_back"' in world.lines.getvalue()


async def test_an_issuer_that_never_answered(worlds: Worlds) -> None:
    world = worlds()
    world.shown = NotFetched("away")
    with pytest.raises(RequestError) as told:
        await world.who(token())
    assert told.value.status == 503
    # A token that is no good whatever the keys are gets no other answer while they are away.
    with pytest.raises(RequestError):
        await world.who(token(claims(exp=NOW - 10**6)))
    assert await world.who(b"eyJ.eyJ.xx") is None


async def test_a_reload_with_other_rules(worlds: Worlds) -> None:
    world = worlds()
    shown = token(claims(sub="bob", jti="one"))
    assert await world.who(shown) is not None
    world.runs(subjects=("bob",))
    assert world.at_once(shown) is None
    assert world.at_once(token()) is not None
    assert world.fetches == 1  # its keys are those of before
    world.tokens.live(People())
    assert world.at_once(token()) is None
    assert not world.tokens


TAGS = {"team": Tag(("support", "search")), "cost": Tag()}


@pytest.mark.parametrize(
    ("more", "rules", "said"),
    [
        ({"dep": "x"}, {"take_tags": {"cost": Take(("dep",))}}, {"cost": "x"}),
        ({}, {"take_tags": {"cost": Take(("dep",))}}, {"cost": ""}),
        ({"a": {"b": ["x", "y"]}}, {"take_tags": {"cost": Take(("a", "b", 1))}}, {"cost": "y"}),
        ({"a": {"b": ["x"]}}, {"take_tags": {"cost": Take(("a", "b", 1))}}, {"cost": ""}),
        ({"a": {"b": ["x"]}}, {"take_tags": {"cost": Take(("a", "b"))}}, {"cost": "x"}),
        (
            {"https://acme.ai/team": "search"},
            {"take_tags": {"team": Take(("https://acme.ai/team",))}},
            {"team": "search"},
        ),
        (
            {"n": 7, "b": True},
            {"take_tags": {"cost": Take(("n",)), "team": Take(("none",))}},
            {"cost": "7", "team": ""},
        ),
        (
            {"groups": ["all", "acme-se", "acme-cs"]},
            {"take_tags": {"team": Take(("groups",), (("acme-cs", "support"), ("acme-se", "search")))}},
            {"team": "support"},
        ),
        ({"dep": "x" * 300}, {"take_tags": {"cost": Take(("dep",))}}, {"cost": ""}),
        ({"dep": "a\nb"}, {"take_tags": {"cost": Take(("dep",))}}, {"cost": ""}),
        ({"dep": {"x": 1}}, {"take_tags": {"cost": Take(("dep",))}}, {"cost": ""}),
        ({}, {"tags": {"team": "search"}}, {"team": "search"}),
    ],
    ids=str,
)
async def test_tags(worlds: Worlds, more: Any, rules: Any, said: dict[str, str]) -> None:
    world = worlds(people={"tags": TAGS}, **rules)
    key = await world.who(token(claims(**more)))
    assert key is not None
    assert {**key.tags} == said


@pytest.mark.parametrize(
    ("more", "rules", "told"),
    [
        (
            {"dep": "sales"},
            {"take_tags": {"team": Take(("dep",))}},
            "the tag `team` a value that is not declared",
        ),
        ({"dep": ["a", "b"]}, {"take_tags": {"cost": Take(("dep",))}}, "the tag `cost` several values"),
        ({"tenant": "evil"}, {"take_org": Take(("tenant",))}, "its organisation one that is not declared"),
    ],
    ids=str,
)
async def test_who_has_no_place_is_told_why(worlds: Worlds, more: Any, rules: Any, told: str) -> None:
    """And nothing of the token stands in it."""
    world = worlds(people={"tags": TAGS, "orgs": ("acme",)}, **rules)
    with pytest.raises(RequestError) as found:
        await world.who(token(claims(**more)))
    assert (found.value.status, found.value.code) == (403, "key_not_allowed")
    assert told in found.value.message
    assert "sales" not in found.value.message
    assert "evil" not in found.value.message


async def test_who_it_is(worlds: Worlds) -> None:
    groups = (Group("staff"), Group("ops"), Group("rest"))
    world = worlds(
        people={"orgs": ("acme",), "groups": groups},
        take_name=Take(("email",)),
        take_org=Take(("tenant",)),
        take_groups=Take(("roles",)),
        groups=("staff",),
    )
    ann = await world.who(token(claims(email="ann@acme.ai", tenant="acme", roles=["ops", "root", "ops"])))
    assert ann is not None
    assert (ann.name, ann.org, ann.groups) == ("ann@acme.ai", "acme", ("staff", "ops"))
    again = await world.who(token(claims(iat=NOW - 5), "p256"))
    bob = await world.who(token(claims(sub="bob")))
    assert again is not None
    assert bob is not None
    assert again.id == ann.id != bob.id
    assert "ann" not in ann.id
    assert again.name == again.id  # nobody says another


async def test_two_issuers_with_one_subject_are_two_people(worlds: Worlds) -> None:
    one, two = worlds(), worlds(issuer="https://other.ai")
    here, there = await one.who(token()), await two.who(token(claims(iss="https://other.ai")))
    assert here is not None
    assert there is not None
    assert here.id != there.id
    assert await one.who(token(claims(iss="https://other.ai"))) is None


async def test_without_the_library_such_a_plan_does_not_run(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds()
    monkeypatch.setitem(sys.modules, "jwt", None)
    world.tokens.prepare(People())
    with pytest.raises(LibraryMissing, match=r"pip install 'llm-runner-router\[auth\]'"):
        world.tokens.prepare(world.people)


async def test_nothing_of_a_token_is_logged(worlds: Worlds) -> None:
    world = worlds()
    secret = "canary0123456789"
    for said in (claims(sub=secret), claims(sub=secret, aud=secret), claims(sub=secret, exp=secret)):
        await world.who(token(said))
        await world.who(token(said, "other rsa", headers={"kid": secret}))
    assert secret not in world.lines.getvalue()
    assert secret not in json.dumps([list(labels) for labels in world.tokens._counts])
