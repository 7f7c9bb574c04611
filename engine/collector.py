"""Holds Python's cycle collector off while there is nothing for it to find.

A compile, and the import of the compiler or of the server, makes some hundred thousand small values that all
live until its end, so that every pass of the collector looks at them in vain: a sixth of the time. What is
garbage before is so afterwards. The last pass, when the process ends, is in vain too: another sixth.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_holders = 0


@contextmanager
def collector_held(*, stays: bool = False) -> Iterator[None]:
    """Within it there is no collection, in any thread; the last of several holders lets it go on.

    A process that has switched the collector off itself keeps it off. stays: what there is at the end lives
    as long as the process, and no collection need ever look at it.
    """
    global _holders
    with _lock:
        ours = _holders > 0 or gc.isenabled()
        _holders += ours
        gc.disable()
    try:
        yield
    finally:
        if stays:
            gc.freeze()
        with _lock:
            _holders -= ours
            if ours and not _holders:
                gc.enable()


def off_for_good() -> None:
    """No collection in this process any more, nor when it ends: for one that compiles, tells and is gone."""
    gc.disable()
    atexit.register(gc.freeze)  # the last collection looks at what is not frozen
