"""How large an image is that came in a request, and how many tokens a model makes of it at most.

Sizes are read from the first bytes of PNG, JPEG and WebP; of whatever is none of these, is not strict base64,
lies elsewhere or hides its size behind long metadata, nobody knows one, and the most that the model ever
makes of an image counts. (A GIF's header does not bound its frames.)
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable
from typing import Final

from engine.plan.vendors import ImageTokens

Size = tuple[int, int]

#: Characters of base64 that are looked at: a JPEG may have a thumbnail before its size.
_HEAD: Final = 64
_LONG_HEAD: Final = 1 << 18
#: JPEG: start of a frame, whose size follows; not 0xC4, 0xC8, 0xCC, which are tables.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def size_of(data: str) -> Size | None:
    """Width and height in pixels of an image in base64; None where nobody can say."""
    head = _bytes(data, _HEAD)
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        found = _pair(head, 16, 4, "big")
    elif head.startswith(b"\xff\xd8\xff"):
        found = _jpeg(_bytes(data, _LONG_HEAD))
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found = _webp(head)
    else:
        found = None
    return found if found is not None and all(found) else None


def image_tokens(rules: Iterable[ImageTokens], size: Size | None) -> int:
    """The most that any of these makes of an image of that size; None: of any image."""
    return max(_tokens(rule, size) for rule in rules)


def _tokens(rule: ImageTokens, size: Size | None) -> int:
    patches = rule.most
    if size is not None and rule.patch is not None:
        width, height = size
        patches = min(max(rule.least, -(-width // rule.patch) * -(-height // rule.patch)), rule.most)
    return rule.base + math.ceil(patches * rule.times)


def _bytes(data: str, characters: int) -> bytes:
    try:
        return binascii.a2b_base64(data[:characters], strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


def _pair(data: bytes, at: int, octets: int, order: str) -> Size | None:
    end = at + 2 * octets
    if len(data) < end:
        return None
    first, second = data[at : at + octets], data[at + octets : end]
    if order == "big":
        return int.from_bytes(first, "big"), int.from_bytes(second, "big")
    return int.from_bytes(first, "little"), int.from_bytes(second, "little")


def _jpeg(data: bytes) -> Size | None:
    """The size that stands in the first frame's head."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _FRAMES:
            sides = _pair(data, at + 5, 2, "big")
            return None if sides is None else (sides[1], sides[0])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        sides = _pair(head, 26, 2, "little")
        return None if sides is None else (sides[0] & 0x3FFF, sides[1] & 0x3FFF)
    return None
