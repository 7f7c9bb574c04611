"""The first compile's child, begun before this process imports what serving needs: both take as long.

So this module imports next to nothing itself. The child sends what it made and only then writes it to disk
(`compile_child.py`): `result` returns once all is here, `ended` waits for the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engine.control.compiled import Compiled

#: What the child runs.
MODULE: Final = "engine.control.compile_child"

#: A compile that takes longer than this is given up.
LIMIT_S: Final = 120.0

_PIECE: Final = 256 * 1024


class FirstCompile:
    """A compile that was begun before there is an event loop; `result` waits for it.

    keep: the file that a good result is also written to.
    """

    def __init__(self, workspace: Path, env: str | None, *, colour: bool, keep: Path | None = None) -> None:
        command = [sys.executable, "-m", MODULE, str(workspace)]
        if env is not None:
            command += ["--env", env]
        if colour:
            command.append("--colour")
        if keep is not None:
            command += ["--keep", str(keep)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._late = False
        self._limit = threading.Timer(LIMIT_S, self._give_up)
        self._limit.daemon = True
        self._limit.start()

    def result(self) -> Compiled:
        """Raises CompileFault."""
        # Deferred: the child has begun by now, and here is time for it.
        from engine.control.compiled import Receiver, cut_off, too_long

        receiver = Receiver()
        try:
            assert self._process.stdout is not None
            pipe = self._process.stdout.fileno()
            while not receiver.ended:
                data = os.read(pipe, _PIECE)
                if not data:
                    code = self._process.wait()
                    raise too_long(LIMIT_S) if self._late else cut_off(code)
                for _ in receiver.feed(data):
                    pass
            for _ in receiver.finish():
                pass
        except BaseException:
            self.stop()
            raise
        return receiver.result()

    def ended(self) -> None:
        """Wait until the child has written what is to be kept, and is gone; at once where it is."""
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self._process.communicate()
        self._limit.cancel()

    def stop(self) -> None:
        """End the child; harmless where it has ended."""
        self._process.kill()
        self.ended()

    def _give_up(self) -> None:
        self._late = True
        self._process.kill()
