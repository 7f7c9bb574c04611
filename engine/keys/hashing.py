"""What is kept of a client key: its HMAC-SHA-256 under the workspace's `keys_secret`.

A client key is 256 random bits, so its hash can be looked for by nobody who does not have it; `keys_secret`
adds that a stolen list of hashes is worth nothing on another installation, and that forged rows match
nothing. Without one the hash is made under a fixed text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

#: Under what a hash is made where the workspace has no `keys_secret`.
PUBLIC: Final = b"llm-runner-router client key, version 1"

#: A hash as it stands in files.
SHOWN: Final = "hmac-sha256:"
PATTERN: Final = r"hmac-sha256:[0-9a-f]{64}"

#: Of SHA-256, in bytes.
_BLOCK: Final = 64

#: Shorter than this a secret can be guessed.
LEAST: Final = 16

#: Texts that stand in examples, not in production.
_PLACEHOLDER: Final = re.compile(
    r"<.*>|\$\{.*\}|\.+|x+|0+|(change[-_ ]?me|your|example|placeholder|todo|secret|password|test).*",
    re.IGNORECASE,
)


def digest(key: bytes, secret: bytes) -> bytes:
    """The 32 bytes that are kept of a key."""
    return hmac.digest(secret, key, "sha256")


class Hasher:
    """`digest` under one secret, for whoever makes many: half of the work of RFC 2104 is done once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        block = (secret if len(secret) <= _BLOCK else hashlib.sha256(secret).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def digest(self, key: bytes) -> bytes:
        """The 32 bytes that are kept of a key."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(key)
        outer.update(inner.digest())
        return outer.digest()


def proof(secret: bytes) -> bytes:
    """What tells this secret from others without telling it: kept beside keys whose hashes it made."""
    return hmac.digest(secret, b"llm-runner-router keys_secret, version 1", "sha256")


def shown(kept: bytes) -> str:
    """A hash as it stands in files: `hmac-sha256:5f1c...`."""
    return SHOWN + kept.hex()


def why_weak(secret: str) -> str | None:
    """Why a `keys_secret` is none; None where it is one. The text never holds it."""
    if _PLACEHOLDER.fullmatch(secret):
        return "it is a placeholder"
    if len(secret) < LEAST:
        return f"it is shorter than {LEAST} characters, so it can be guessed"
    if len(set(secret)) < 6:
        return "it is made of a few characters over and over, so it can be guessed"
    return None
