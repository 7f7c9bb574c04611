"""How client keys look, and what is kept of them."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from engine.keys import form, hashing
from engine.keys.looks import looks_secret


def test_a_key_says_what_it_is_and_holds_256_random_bits() -> None:
    made = {form.make() for _ in range(200)}
    assert len(made) == 200
    for key in made:
        assert key.startswith("engk_")
        assert len(key) == form.LENGTH == 55
        assert form.well_formed(key)
        assert form.LIKE_A_KEY.fullmatch(key)
        assert looks_secret(f"bearer {key} here")


def test_a_typo_is_told_from_a_key() -> None:
    key = form.make()
    for at in range(len(key)):
        other = "A" if key[at] != "A" else "B"
        assert not form.well_formed(key[:at] + other + key[at + 1 :])
    assert not form.well_formed(key[:-1])
    assert not form.well_formed(key + "A")


def test_what_is_kept_is_its_hmac_sha256() -> None:
    key, secret = form.make().encode(), b"a secret of 32 random bytes....."
    kept = hashing.digest(key, secret)
    assert kept == hmac.new(secret, key, hashlib.sha256).digest()
    assert hashing.shown(kept) == f"hmac-sha256:{kept.hex()}"
    assert kept != hashing.digest(key, hashing.PUBLIC)


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 64, b"y" * 65, bytes(range(256))])
def test_a_hasher_makes_the_same(secret: bytes) -> None:
    hasher = hashing.Hasher(secret)
    for key in (b"", b"k", form.make().encode(), b"z" * 3_000):
        assert hasher.digest(key) == hmac.new(secret, key, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "secret",
    [
        "changeme",
        "CHANGE_ME_PLEASE_NOW",
        "<your secret here ....>",
        "${KEYS_SECRET_OF_THIS}",
        "q8Zx0Yb1kq",
        "x" * 40,
        "abab" * 10,
    ],
)
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    why = hashing.why_weak(secret)
    assert why is not None
    assert secret not in why


def test_a_random_secret_is_taken() -> None:
    assert hashing.why_weak("q8Zx0Yb1kq1J0d3lqk2mYb3m4w5n6s7a") is None
