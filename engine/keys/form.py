"""How a client key looks: `engk_`, 43 characters of 32 random bytes, `_`, 6 characters of a checksum.

The prefix tells secret scanners what they have found, the checksum tells a typo from a stranger's key
without asking anybody. Both are public: what is secret are the 32 bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

PREFIX: Final = "engk_"

_SECRET: Final = 43
_CHECK: Final = 6
LENGTH: Final = len(PREFIX) + _SECRET + 1 + _CHECK

#: A text that is, or was meant to be, a key of ours: from its prefix on, long enough to be no word.
LIKE_A_KEY: Final = re.compile(r"engk_[A-Za-z0-9_-]{16,}")


def make() -> str:
    """A new key. It is nowhere else: whoever gets it keeps it, or loses it."""
    secret = secrets.token_urlsafe(32)
    return f"{PREFIX}{secret}_{checksum(secret)}"


def checksum(secret: str) -> str:
    """The last characters of a key with this secret part."""
    digest = hashlib.sha256((PREFIX + secret).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:_CHECK]


def well_formed(text: str) -> bool:
    """Whether a text is a key without a typo; it says nothing about who knows it."""
    if len(text) != LENGTH or not text.startswith(PREFIX):
        return False
    secret, between, check = text[len(PREFIX) : -_CHECK - 1], text[-_CHECK - 1], text[-_CHECK:]
    return between == "_" and check == checksum(secret)
