"""An issuer's public keys: what a JSON Web Key Set (RFC 7517) holds that a signature may be checked with.

A key is used with the algorithms of its own type and, where it names one, with that alone: so no signature is
checked by another algorithm than its key was made for. Secrets (`oct`) and what is marked for encryption are
no keys here. PyJWT and cryptography do the arithmetic; both are imported with the first key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jwt import PyJWK

#: Largest document, and most keys in it.
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100

#: Algorithm -> (type of key, its curve). Only signatures that anybody can check and only one can make.
ALGORITHMS: Final[Mapping[str, tuple[str, str | None]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
#: The public members of each type of key.
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
#: Bytes of an RSA modulus: under 2048 bits it can be broken, over 8192 checking takes too long.
_MODULUS: Final = range(256, 1025)
_EXPONENT_MAX: Final = 4


class KeySetFault(Exception):
    """A document is no key set. The text says why; it holds nothing of the document."""


@dataclass(slots=True)
class PublicKey:
    """One key. `algorithm`: the only one it is for; None: any of its type."""

    members: Mapping[str, str]
    algorithm: str | None
    _made: dict[str, PyJWK] = field(default_factory=dict)

    def fits(self, algorithm: str) -> bool:
        """Whether signatures of this algorithm may be checked with it."""
        kty, curve = ALGORITHMS[algorithm]
        if self.members["kty"] != kty or (curve is not None and self.members["crv"] != curve):
            return False
        return self.algorithm is None or self.algorithm == algorithm

    def made(self, algorithm: str) -> PyJWK:
        """As the library takes it. Raises KeySetFault where its numbers are no key."""
        found = self._made.get(algorithm)
        if found is None:
            # Deferred: 12 MB that nobody carries who takes no tokens.
            from jwt import PyJWK, PyJWTError

            try:
                found = self._made[algorithm] = PyJWK(dict(self.members), algorithm)
            except (PyJWTError, ValueError) as error:
                raise KeySetFault(f"a key's numbers are no key ({type(error).__name__})") from None
        return found


class KeySet:
    """Keys by their `kid`. `prints`: what each is known by, to see which were taken out."""

    __slots__ = ("_keys", "prints")

    def __init__(self, keys: Iterable[tuple[str | None, PublicKey]]) -> None:
        self._keys: dict[str | None, list[PublicKey]] = {}
        for kid, key in keys:
            self._keys.setdefault(kid, []).append(key)
        self.prints = frozenset(
            _print(kid, key.members) for kid, several in self._keys.items() for key in several
        )

    def __len__(self) -> int:
        return sum(map(len, self._keys.values()))

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The one key that a token can be signed with. None: there is none, or more than one."""
        if kid is not None:
            several = [key for key in self._keys.get(kid, ()) if key.fits(algorithm)]
        else:
            several = [key for keys in self._keys.values() for key in keys if key.fits(algorithm)]
        return several[0] if len(several) == 1 else None


def read_key_set(document: Any) -> KeySet:
    """The usable keys of a key set's JSON. Raises KeySetFault."""
    rows = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise KeySetFault("it has no list `keys`")
    if len(rows) > MAX_KEYS:
        raise KeySetFault(f"it has more than {MAX_KEYS} keys")
    found = [
        (row.get("kid"), key) for row in rows if isinstance(row, dict) and (key := _key(row)) is not None
    ]
    if not found:
        raise KeySetFault(
            "none of its keys can check a signature (RSA from 2048 bits, P-256 to P-521, Ed25519)"
        )
    return KeySet(found)


def _key(row: Mapping[str, Any]) -> PublicKey | None:
    """A row as a key; None: nothing to check signatures with."""
    kty, algorithm, kid, operations = row.get("kty"), row.get("alg"), row.get("kid"), row.get("key_ops")
    if not isinstance(kty, str) or not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    if kty not in _MEMBERS or row.get("use", "sig") != "sig":
        return None
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return None
    if algorithm is not None and algorithm not in ALGORITHMS:
        return None
    members: dict[str, str] = {name: row.get(name, "") for name in _MEMBERS[kty]}
    if not all(_plain(value) for value in members.values()):
        return None
    if kty == "RSA" and not _good_numbers(members["n"], members["e"]):
        return None
    if kty != "RSA" and (kty, members["crv"]) not in ALGORITHMS.values():
        return None
    return PublicKey({"kty": kty, **members}, algorithm)


def _plain(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii()


def _good_numbers(modulus: Any, exponent: Any) -> bool:
    try:
        n, e = (base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) for text in (modulus, exponent))
    except ValueError:
        return False
    number = int.from_bytes(e, "big")
    return len(n.lstrip(b"\0")) in _MODULUS and len(e) <= _EXPONENT_MAX and number > 1 and number % 2 == 1


def _print(kid: str | None, members: Mapping[str, str]) -> bytes:
    text = "\0".join((kid or "", *(f"{name}={members[name]}" for name in sorted(members))))
    return hashlib.sha256(text.encode()).digest()
