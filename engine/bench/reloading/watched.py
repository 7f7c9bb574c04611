"""The sidecar as `engine serve` runs it, with a look at its own event loop every millisecond.

`python -m engine.bench.reloading.watched WS` prints the addresses as `engine serve` does, and when it has
ended one more line: every time the loop came late, as [when on the system's monotonic clock, ms late, ms of
that which the loop itself used the processor]. Late beyond its own use is the machine's doing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from pathlib import Path
from typing import Final

from engine.control import fingerprint
from engine.control.first_compile import FirstCompile
from engine.control.last_good import LastGood, Start
from engine.server.loop import run_on_loop
from engine.server.sidecar import Options, Sidecar, serve

_EVERY_S: Final = 0.001
#: What comes less late is not told.
_LEAST_MS: Final = 1.0


class Looks:
    """Late looks, and how many there were in all."""

    def __init__(self) -> None:
        self.count = 0
        self.began = time.monotonic()
        self._late = array("d")  # three numbers a look: they are many

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began, used = time.monotonic(), time.thread_time()
            await asyncio.sleep(_EVERY_S)
            now = time.monotonic()
            late = (now - began - _EVERY_S) * 1e3
            self.count += 1
            if late >= _LEAST_MS:
                own = (time.thread_time() - used) * 1e3
                self._late.extend((began, late, min(late, own)))

    def late(self) -> list[tuple[float, float, float]]:
        """When, how late, of that the loop's own; ms."""
        each = iter(self._late)
        return [
            (round(at, 4), round(ms, 2), round(own, 2)) for at, ms, own in zip(each, each, each, strict=True)
        ]


def main() -> None:
    workspace = Path(sys.argv[1])
    content = fingerprint.content(workspace)
    last_good = LastGood.of(workspace, None)
    keep = last_good.next if last_good is not None else None
    first = FirstCompile(workspace, None, colour=False, keep=keep)
    compiled = first.result()
    if compiled.plan is None:
        sys.exit(compiled.rendered)
    content = compiled.content or content
    looks = Looks()
    tasks: list[asyncio.Task[None]] = []

    def ready(sidecar: Sidecar) -> None:
        tasks.append(asyncio.get_running_loop().create_task(looks.run()))
        print(json.dumps(sidecar.hello()), flush=True)

    code = run_on_loop(serve(Options(workspace), Start(compiled, last_good, first=first), content, ready))
    seconds = time.monotonic() - looks.began
    print(json.dumps({"looks": looks.count, "seconds": seconds, "late": looks.late()}), flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
