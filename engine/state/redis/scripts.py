"""The scripts that run in the store, read from the files beside this one, and their arguments."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from engine.state.redis.connection import Command


class Script:
    """A script by its text and the name the server keeps it under."""

    def __init__(self, name: str) -> None:
        self.text = files("engine.state.redis").joinpath(f"{name}.lua").read_text(encoding="utf-8")
        # The server's own way of naming it, which protects nothing.
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Work:
    """One run of a script. All its keys have the same hash tag, so that a cluster keeps them in one place."""

    script: Script
    keys: tuple[str, ...]
    values: tuple[str | int, ...] = ()

    def command(self) -> Command:
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.values)

    def whole(self) -> Command:
        """The same for a server that may not have the script."""
        return ("EVAL", self.script.text, len(self.keys), *self.keys, *self.values)


GENERATION: Final = Script("generation")
ACCOUNT: Final = Script("account")
ONCE: Final = Script("once")
