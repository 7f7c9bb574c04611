"""Which tokens are good: every algorithm, every claim, and every way to forge one."""

from __future__ import annotations

import hmac
import json
import warnings
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwt as independent
from joserfc.jwk import KeySet as IndependentKeys
from minting import ISSUER, KEYS, NOW, by_hand, claims, encoded, jwk, key_set, token

from engine.identity.key_set import KeySet, KeySetFault, read_key_set
from engine.identity.token import MAX_BYTES, looks_like_one, read_token
from engine.identity.verify import Refused, verified
from engine.plan.identity import Issuer

USUAL = ("RS256", "ES256", "EdDSA")


def issuer(**more: Any) -> Issuer:
    told: dict[str, Any] = {
        "name": "corp",
        "issuer": ISSUER,
        "audience": ("llm", "llm-dev"),
        "algorithms": USUAL,
        **more,
    }
    return Issuer(**told)


def judged(shown: bytes, rules: Issuer | None = None, keys: KeySet | None = None, now: float = NOW) -> str:
    """`good`, or why not; `unread` where it is none at all."""
    read = read_token(shown)
    if read is None:
        return "unread"
    try:
        verified(read, rules or issuer(), keys or read_key_set(key_set()), now)
    except Refused as refused:
        return refused.why
    return "good"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("rsa", "RS256"), ("rsa", "PS512"), ("p256", "ES256"), ("p384", "ES384"), ("ed", "EdDSA")],
)
def test_an_independent_library_agrees(key: str, algorithm: str) -> None:
    """Tokens that joserfc makes are good here, and those that are good here are good there."""
    rules, keys = issuer(algorithms=(algorithm,)), read_key_set(key_set(key))
    private = KEYS[key].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    from joserfc import jwk as jwks

    kind = {"rsa": jwks.RSAKey, "p256": jwks.ECKey, "p384": jwks.ECKey, "ed": jwks.OKPKey}[key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc's, of algorithms that it calls old names
        theirs = independent.encode(
            {"alg": algorithm, "kid": key}, claims(), kind.import_key(private), algorithms=[algorithm]
        )
        assert judged(theirs.encode(), rules, keys) == "good"
        ours = token(key=key, algorithm=algorithm)
        read = independent.decode(
            ours.decode(), IndependentKeys.import_key_set(key_set(key)), algorithms=[algorithm]
        )
    assert read.claims == claims()
    assert judged(ours, rules, keys) == "good"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "good"),
        ({"aud": ["else", "llm-dev"]}, "good"),
        ({"aud": "else"}, "audience"),
        ({"aud": ["else"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": [["llm"]]}, "audience"),
        ({"aud": {"llm": 1}}, "audience"),
        ({"aud": "LLM"}, "audience"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"exp": NOW - 29}, "good"),  # clocks may differ
        ({"exp": NOW - 30}, "expired"),
        ({"exp": None}, "times"),
        ({"exp": str(NOW + 600)}, "times"),
        ({"exp": True}, "times"),
        ({"exp": [NOW + 600]}, "times"),
        ({"exp": NOW + 600.5}, "good"),
        ({"exp": 1e300}, "good"),
        ({"nbf": NOW + 30}, "good"),
        ({"nbf": NOW + 31}, "early"),
        ({"nbf": "0"}, "times"),
        ({"iat": NOW + 31}, "early"),
        ({"iat": None}, "good"),
        ({"iat": "yesterday"}, "times"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "x" * 1025}, "subject"),
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "bound"),
    ],
    ids=str,
)
def test_claims(more: dict[str, Any], why: str) -> None:
    assert judged(token(claims(**more))) == why


@pytest.mark.parametrize(
    ("more", "rules", "why"),
    [
        ({"iat": NOW - 3600}, {"max_age_ms": 3_600_000}, "good"),
        ({"iat": NOW - 3630}, {"max_age_ms": 3_600_000}, "old"),
        ({"iat": None}, {"max_age_ms": 3_600_000}, "times"),
        ({}, {"leeway_ms": 0}, "good"),
        ({"exp": NOW}, {"leeway_ms": 0}, "expired"),
        ({}, {"subjects": ("bob",)}, "good"),
        ({"sub": "bob"}, {"subjects": ("bob",)}, "revoked"),
        ({"jti": "one"}, {"tokens": ("two",)}, "good"),
        ({"jti": "two"}, {"tokens": ("two",)}, "revoked"),
        ({}, {"tokens": ("two",)}, "revoked"),  # it may be that one
    ],
    ids=str,
)
def test_rules(more: dict[str, Any], rules: dict[str, Any], why: str) -> None:
    assert judged(token(claims(**more)), issuer(**rules)) == why


def test_how_long_it_is_good() -> None:
    read = read_token(token(claims(exp=NOW + 600, iat=NOW)))
    assert read is not None
    keys = read_key_set(key_set())
    assert verified(read, issuer(), keys, NOW)[1] == NOW + 630
    assert verified(read, issuer(max_age_ms=60_000), keys, NOW)[1] == NOW + 90


PEM = (
    KEYS["rsa"]
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)


def confused(secret: bytes, **header: Any) -> bytes:
    """Signed with a text that everybody knows, as if it were a secret."""
    first = f"{encoded({'alg': 'HS256', 'kid': 'rsa', **header})}.{encoded(claims())}"
    return f"{first}.{encoded(hmac.digest(secret, first.encode(), 'sha256'))}".encode()


def tampered(shown: bytes, **more: Any) -> bytes:
    header, _, signature = shown.split(b".")
    return b".".join((header, encoded(claims(**more)).encode(), signature))


EVIL = {**jwk("other rsa"), "kid": "rsa"}
HOSTILE: dict[str, tuple[bytes, str]] = {
    "alg none": (by_hand({"alg": "none", "kid": "rsa"}, claims(), b"xx"), "algorithm"),
    "alg none without a signature": (by_hand({"alg": "none"}, claims())[:-43], "unread"),
    "alg None in capitals": (by_hand({"alg": "NONE", "kid": "rsa"}, claims()), "algorithm"),
    "no alg": (by_hand({"kid": "rsa"}, claims()), "unread"),
    "alg a list": (by_hand({"alg": ["RS256"], "kid": "rsa"}, claims()), "unread"),
    "HS256 with the RSA key's PEM": (confused(PEM), "algorithm"),
    "HS256 with the key set": (confused(json.dumps(jwk("rsa")).encode()), "algorithm"),
    "RS256 said, HS256 made": (confused(PEM, alg="RS256"), "signature"),
    "another key of the same kind": (token(key="other rsa", headers={"kid": "rsa"}), "signature"),
    "another kind of key": (token(key="p256", headers={"kid": "rsa"}), "key"),
    "ES384 of a P-256 key": (by_hand({"alg": "ES384", "kid": "p256"}, claims()), "algorithm"),
    "an algorithm that is not taken": (token(algorithm="RS512"), "algorithm"),
    "unknown kid": (token(headers={"kid": "nobody"}), "key"),
    "kid a path": (token(headers={"kid": "../../../../dev/null"}), "key"),
    "kid SQL": (token(headers={"kid": "x' UNION SELECT 'secret';--"}), "key"),
    "kid a URL": (token(headers={"kid": "http://127.0.0.1:9/keys"}), "key"),
    "kid a number": (by_hand({"alg": "RS256", "kid": 7}, claims()), "unread"),
    "kid very long": (by_hand({"alg": "RS256", "kid": "k" * 300}, claims()), "unread"),
    "a key brought along": (token(key="other rsa", headers={"jwk": EVIL, "kid": "rsa"}), "signature"),
    "an address of keys": (
        token(key="other rsa", headers={"jku": "https://evil.ai/k", "kid": "rsa"}),
        "signature",
    ),
    "an address of certificates": (
        token(key="other rsa", headers={"x5u": "https://evil.ai/c", "kid": "rsa"}),
        "signature",
    ),
    "certificates brought along": (
        token(key="other rsa", headers={"x5c": ["MIIB"], "kid": "rsa"}),
        "signature",
    ),
    "must be understood": (
        by_hand({"alg": "RS256", "kid": "rsa", "crit": ["exp"], "exp": 1}, claims()),
        "unread",
    ),
    "a payload that is not encoded": (
        by_hand({"alg": "RS256", "kid": "rsa", "b64": False}, claims()),
        "unread",
    ),
    "compressed": (by_hand({"alg": "RS256", "kid": "rsa", "zip": "DEF"}, claims()), "unread"),
    "a logout token": (token(headers={"typ": "logout+jwt"}), "unread"),
    "a proof of possession": (token(headers={"typ": "dpop+jwt"}), "unread"),
    "an access token": (token(headers={"typ": "at+JWT"}), "good"),
    "a token in a token": (by_hand({"alg": "RS256", "kid": "rsa", "cty": "JWT"}, token()), "unread"),
    "claims a list": (by_hand({"alg": "RS256", "kid": "rsa"}, [claims()]), "unread"),
    "claims no JSON": (by_hand({"alg": "RS256", "kid": "rsa"}, b"{'sub': 1}"), "unread"),
    "claims very deep": (by_hand({"alg": "RS256", "kid": "rsa"}, b"[" * 9000), "unread"),
    "another subject": (tampered(token(), sub="root"), "signature"),
    "a longer life": (tampered(token(), exp=NOW + 10**6), "signature"),
    "a signature cut": (token()[:-4], "signature"),
    "no signature": (token().rpartition(b".")[0] + b".", "unread"),
    "five parts": (b".".join((token(), b"aa", b"bb")), "unread"),
    "a line break": (token()[:40] + b"\n" + token()[40:], "unread"),
    "padding": (token() + b"=", "unread"),
    "spaces": (b" " + token(), "unread"),
    "huge": (token(claims(more="x" * MAX_BYTES)), "unread"),
    "large": (token(claims(groups=[f"g{n}" for n in range(900)])), "good"),
    "times beyond all numbers": (by_hand({"alg": "RS256", "kid": "rsa"}, b'{"exp": 1e999}'), "unread"),
    "empty": (b"", "unread"),
    "two dots": (b"..", "unread"),
    "a client key": (b"engk_" + b"x" * 50, "unread"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tokens(name: str) -> None:
    shown, why = HOSTILE[name]
    assert judged(shown) == why
    if why == "good":  # and never what another library refuses
        read = independent.decode(shown.decode(), IndependentKeys.import_key_set(key_set()))
        independent.JWTClaimsRegistry(now=NOW, leeway=30, aud={"values": ["llm"]}).validate(read.claims)


def test_what_is_good_looks_like_a_token() -> None:
    assert looks_like_one(token())
    assert not looks_like_one(b"engk_a.b.c")


def test_a_token_without_a_kid_has_one_key_it_can_be_of() -> None:
    none = {"kid": None}
    assert judged(token(headers=none)) == "good"  # one RSA key, one EC key, one Ed25519 key
    assert judged(token(headers=none), keys=read_key_set(key_set("rsa", "other rsa"))) == "key"


def test_two_keys_of_one_kid_are_told_apart_by_their_kind_or_not_at_all() -> None:
    both = read_key_set({"keys": [jwk("rsa", "k"), jwk("p256", "k")]})
    assert judged(token(headers={"kid": "k"}), keys=both) == "good"
    assert judged(token(key="p256", headers={"kid": "k"}), keys=both) == "good"
    twins = read_key_set({"keys": [jwk("rsa", "k"), jwk("other rsa", "k")]})
    assert judged(token(headers={"kid": "k"}), keys=twins) == "key"


@pytest.mark.parametrize(
    "row",
    [
        {"kty": "oct", "k": encoded(b"secret"), "kid": "k"},
        jwk("rsa", "k", use="enc"),
        jwk("rsa", "k", key_ops=["encrypt"]),
        jwk("rsa", "k", alg="RSA-OAEP"),
        jwk("rsa", "k", alg="HS256"),
        jwk("weak rsa", "k"),
        jwk("rsa", "k", e="AQ"),
        jwk("rsa", "k", e="AA" + "Q" * 40),
        jwk("rsa", "k", n="*"),
        jwk("rsa", "k", n=encoded(b"\xff" * 2000)),
        jwk("rsa", "k", n=7),
        jwk("p256", "k", crv="secp256k1"),
        jwk("ed", "k", crv="X25519"),
        {"kty": "RSA", "kid": "k"},
        {"kty": ["RSA"], "kid": "k"},
        {**jwk("rsa"), "kid": 3},
        "text",
    ],
    ids=[f"row {number}" for number in range(17)],  # keys are made anew in each process
)
def test_rows_that_check_no_signature(row: Any) -> None:
    with pytest.raises(KeySetFault):
        read_key_set({"keys": [row]})
    assert len(read_key_set({"keys": [row, jwk("rsa")]})) == 1


def test_a_key_is_used_with_its_own_algorithm() -> None:
    keys = read_key_set({"keys": [jwk("rsa", alg="PS256")]})
    rules = issuer(algorithms=("RS256", "PS256"))
    assert judged(token(), rules, keys) == "key"
    assert judged(token(algorithm="PS256"), rules, keys) == "good"


def test_a_key_off_its_curve_checks_nothing() -> None:
    off = read_key_set({"keys": [jwk("p256", x=encoded(b"\1" * 32))]})
    assert judged(token(key="p256"), keys=off) == "signature"


def test_a_private_key_that_was_published_is_used_as_a_public_one() -> None:
    from jwt.algorithms import RSAAlgorithm

    row = {**RSAAlgorithm.to_jwk(KEYS["rsa"], as_dict=True), "kid": "rsa"}
    row.pop("key_ops")
    keys = read_key_set({"keys": [row]})
    assert judged(token(), keys=keys) == "good"
    found = keys.find("rsa", "RS256")
    assert found is not None
    assert set(found.members) == {"kty", "n", "e"}


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [jwk("rsa")] * 101}],
    ids=lambda d: str(d)[:20],
)
def test_documents_that_are_no_key_sets(document: Any) -> None:
    with pytest.raises(KeySetFault):
        read_key_set(document)


def test_prints_tell_what_was_taken_out() -> None:
    both, one = read_key_set(key_set("rsa", "p256")), read_key_set(key_set("rsa"))
    assert one.prints < both.prints
    assert all(len(each) == len(sha256().digest()) for each in both.prints)
