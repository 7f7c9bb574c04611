"""Vendors' tokenizers, where one is installed (extra `tokenizers`): for what a vendor does not say of a call.

Only an estimate hangs on them, and it is flagged as one. Reading a vocabulary takes a tenth of a second: it
is done in a thread when somebody first asks for it, and who asks until then has none.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any, Final

#: Counts the tokens of a text.
Count = Callable[[str], int]

_PACKAGE: Final = "bpe_openai"
#: Characters that are counted; what follows is taken to be like them.
_MOST: Final = 65_536

_read: dict[str, Count | None] = {}
_begun: set[str] = set()
_lock: Final = threading.Lock()


def tokenizer(name: str | None) -> Count | None:
    """How a model whose facts name this tokenizer counts; None where nobody here can tell, or not yet."""
    if name is None:
        return None
    if name not in _read:
        _begin(name)
        return None
    return _read[name]


def read(name: str) -> Count | None:
    """The same, read now where it was not: takes a while."""
    if name not in _read:
        _read[name] = _load(name)
    return _read[name]


def _begin(name: str) -> None:
    with _lock:
        if name in _begun:
            return
        _begun.add(name)
    if importlib.util.find_spec(_PACKAGE) is None:
        _read[name] = None
        return
    threading.Thread(target=read, args=(name,), name=f"tokenizer-{name}", daemon=True).start()


def _load(name: str) -> Count | None:
    try:
        encoding = importlib.import_module(_PACKAGE).get_encoding(name)
    except Exception:  # noqa: BLE001 - whatever a package for an estimate does, a byte guess serves
        return None
    return lambda text: _count(encoding, text)


def _count(encoding: Any, text: str) -> int:
    head = text[:_MOST]
    if not head.isascii():
        head = head.encode("utf-8", "replace").decode()  # halves of a pair are no text
    tokens = len(encoding.encode_ordinary(head))
    return tokens if len(text) <= _MOST else -(-tokens * len(text) // _MOST)
