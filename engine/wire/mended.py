"""JSON in which a character was cut in half: the rest of an answer is still good.

Servers that write text piece by piece may cut a character: into bytes that are no UTF-8, or, where they keep
text as UTF-16, into escapes of half a pair (`"\\ud83d"`). Such a half is read as U+FFFD.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

#: Nothing longer, in bytes, is mended: it is read slowly.
LONGEST: Final = 1 << 20


def mended(data: bytes) -> Any:
    """What stands in a text that is no strict JSON. Raises ValueError where it is none at all."""
    if len(data) > LONGEST:
        raise ValueError("it is too long to be mended")
    text = data.decode("utf-8", "replace")
    if "\\u" not in text:
        return orjson.loads(text)
    try:
        halves = json.dumps(json.loads(text), ensure_ascii=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return orjson.loads(halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
