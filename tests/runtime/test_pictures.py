"""Sizes are read from what an image begins with, and nothing that cannot be read makes a bound smaller."""

from __future__ import annotations

import base64
import struct

import pytest

from engine.plan.vendors import ImageTokens
from engine.runtime.pictures import image_tokens, size_of


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _png(width: int, height: int) -> bytes:
    head = struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + head + b"rest"


def _jpeg(width: int, height: int, metadata: int = 0) -> bytes:
    segments = b"\xff\xe1" + struct.pack(">H", 2 + 1000) + b"x" * 1000
    return (
        b"\xff\xd8" + segments * metadata + b"\xff\xff\xdb" + struct.pack(">H", 4) + b"ab"
        b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"rest" * 9
    )  # fmt: skip


def _webp(kind: bytes, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 100) + b"WEBP" + kind + struct.pack("<I", 50) + body + b"rest" * 9


SIZED = {
    "png": _png(640, 480),
    "jpeg": _jpeg(640, 480),
    "jpeg behind metadata": _jpeg(640, 480, metadata=60),
    "webp, lossy": _webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
    "webp, lossless": _webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)),
    "webp, extended": _webp(b"VP8X", b"\0" * 4 + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
}

UNSIZED = {
    "nothing": "",
    "no base64": "data:image/png;base64," + _b64(_png(1, 1)),
    "broken base64": _b64(_png(9, 9)).replace("A", "*", 1),
    "cut short": _b64(_png(9, 9)[:18]),
    "a gif, whose frames may be larger": _b64(b"GIF89a" + struct.pack("<HH", 1, 1) + b"rest" * 20),
    "empty": _b64(_png(0, 5)),
    "a jpeg whose size comes too late": _b64(_jpeg(9, 9, metadata=400)),
    "a jpeg that ends": _b64(_jpeg(9, 9)[:15]),
}


@pytest.mark.parametrize("data", SIZED.values(), ids=SIZED)
def test_a_size_is_read(data: bytes) -> None:
    assert size_of(_b64(data)) == (640, 480)


@pytest.mark.parametrize("data", UNSIZED.values(), ids=UNSIZED)
def test_what_cannot_be_read_has_none(data: str) -> None:
    assert size_of(data) is None


def test_the_most_of_all_models_counts() -> None:
    tiled, patched = ImageTokens(5_000), ImageTokens(1_536, patch=32, times=1.62)
    enlarged = ImageTokens(900, patch=24, base=10, least=100)
    assert image_tokens([patched], (1024, 1024)) == 1_659
    assert image_tokens([patched], (9000, 9000)) == image_tokens([patched], None) == 2_489
    assert image_tokens([enlarged], (1, 1)) == 110
    assert image_tokens([patched, tiled, enlarged], (1, 1)) == 5_000
