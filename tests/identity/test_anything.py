"""Whatever is sent: a token is good only as it was signed, and nothing breaks on anything."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from minting import ISSUER, NOW, by_hand, jwk, key_set, token

from engine.errors import RequestError
from engine.identity.claims import key_of
from engine.identity.key_set import KeySetFault, read_key_set
from engine.identity.token import read_token
from engine.identity.verify import Refused, check_claims, verified
from engine.plan.identity import Issuer, Take
from engine.plan.people import People, Tag
from engine.policies.networks import Networks, client_address, read_address

KEYS = read_key_set(key_set())
TAKE = Take(("a", "b", 0))
RULES = Issuer(
    "corp",
    ISSUER,
    ("llm",),
    ("RS256", "ES256", "EdDSA"),
    max_age_ms=10**9,
    take_name=Take(("name",)),
    take_org=Take(("a",)),
    take_groups=Take(("groups",)),
    take_tags={"team": TAKE, "cost": Take(("b",), (("x", "y"),))},
    tokens=("one",),
)
PEOPLE = People(tags={"team": Tag(("support",)), "cost": Tag()}, orgs=("acme",))
SIGNED = [token(key=key) for key in ("rsa", "p256", "ed")]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def with_names(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Maps in which these keys are likely."""
    return st.dictionaries(st.sampled_from(names), values, max_size=len(names))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIGNED), st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_one_changed_place_is_no_token(shown: bytes, at: int, piece: bytes) -> None:
    at %= len(shown)
    changed = shown[:at] + piece + shown[at + len(piece) :]
    read = read_token(changed)
    if read is None or changed == shown:
        return
    try:
        claims, _ = verified(read, RULES, KEYS, NOW)
    except Refused:
        return
    # The last character of a part holds bits that are nobody's: other text, the same bytes.
    original = read_token(shown)
    assert original is not None
    assert (claims, read.algorithm, read.kid) == (original.claims, original.algorithm, original.kid)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.builds(by_hand, values, values, st.binary(min_size=2, max_size=64)))
def test_anything_is_read(shown: bytes) -> None:
    read = read_token(shown)
    if read is not None:
        with contextlib.suppress(Refused):
            verified(read, RULES, KEYS, NOW)


@settings(max_examples=60, deadline=None)
@given(with_names("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "cnf"))
def test_any_claims_are_judged(said: dict[str, Any]) -> None:
    with contextlib.suppress(Refused):
        check_claims(
            {"iss": ISSUER, "aud": "llm", "sub": "ann", "exp": NOW + 1, "iat": NOW} | said, RULES, NOW
        )


@settings(max_examples=60, deadline=None)
@given(with_names("name", "a", "b", "groups"))
def test_any_claims_are_somebody_or_nobody(said: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        key = key_of(said | {"sub": "ann"}, RULES, PEOPLE)
        assert all(isinstance(value, str) for value in (key.id, key.name, key.org, *key.tags.values()))
        assert key.org in ("", "acme")
        assert key.tags["team"] in ("", "support")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(with_names("kty", "crv", "n", "e", "x", "y", "use", "alg", "kid", "key_ops"), max_size=3), values
)
def test_any_key_set_is_read(rows: list[dict[str, Any]], document: Any) -> None:
    for each in (document, {"keys": [*rows, *({**jwk("rsa"), **row} for row in rows)]}):
        with contextlib.suppress(KeySetFault):
            keys = read_key_set(each)
            for algorithm in RULES.algorithms:
                found = keys.find(None, algorithm)
                if found is not None:
                    found.made(algorithm)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=60))
def test_any_address_is_read(peer: str, told: str) -> None:
    read_address(peer)
    client_address(peer, told, Networks(("0.0.0.0/0",)))
