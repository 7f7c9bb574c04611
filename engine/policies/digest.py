"""One name for several texts: what is kept under a key that they make together."""

from __future__ import annotations

import hashlib


def digest_of(*parts: str) -> str:
    """In hex; other parts, or the same cut differently, give another."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.hexdigest()
