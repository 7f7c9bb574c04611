"""What a compile brings across the process boundary, as frames (`frames.py`): all of it, or what is new.

In this order: `H`, a header as JSON (diagnostics as data, the same rendered for people, the process's
settings); `M`, the manifest part by part; `S`, each segment that the receiver does not hold; `E`, the sha256
of all frames before. Nothing is trusted: parts make the revision, segments their digests, and whatever was
cut off or changed is told. The file of the last good plan holds the same frames, with every segment.

The sender asks `frames(held)`; the receiver feeds a `Receiver` as bytes come and may stop at every yield.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.control.frames import FrameError, Frames, frame
from engine.control.settings import ProcessSettings
from engine.plan.codec import PlanDecodeError, digest
from engine.plan.parts import ManifestReader, Part, parts
from engine.plan.plan import Plan
from engine.plan.types import SCHEMA_VERSION

#: Counts up when the frames or the header get another shape.
FORMAT: Final = 1

#: So many segments are looked up between two yields.
_STEP: Final = 512


class CompileFault(Exception):
    """The compiling child did not do its work: it could not be started, died, or took too long."""


def cut_off(code: int | None) -> CompileFault:
    """The child ended before it had sent everything. `code`: its exit code."""
    return CompileFault(f"the compiler ended with {code}; what it printed stands in the log above")


def too_long(limit_s: float) -> CompileFault:
    """The child was ended, because nothing had come of it for so long."""
    return CompileFault(f"the compiler did not end within {limit_s:.0f} s")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compile's result. `plan` and `settings` are None where a diagnostic is an error.

    diagnostics: each in the contract's JSON form. rendered: all of them as text for a terminal. bare: the
    workspace has no routes of its own, the engine's are used. content: the digest of the files that were
    compiled (`fingerprint.content`), where it is known that they stood still.
    """

    plan: Plan | None
    settings: ProcessSettings | None
    diagnostics: tuple[dict[str, Any], ...]
    rendered: str
    bare: bool = False
    content: str | None = field(default=None, compare=False)

    def frames(self, held: Container[str] = ()) -> Iterator[bytes]:
        """What `Receiver` takes. `held`: digests of segments that the receiver has."""
        total = hashlib.sha256()
        for kind, payload in self._messages(held):
            data = frame(kind, payload)
            total.update(data)
            yield data
        yield frame(b"E", total.digest())

    def _messages(self, held: Container[str]) -> Iterator[tuple[bytes, bytes]]:
        header = {
            "format": FORMAT,
            "schema": SCHEMA_VERSION,
            "revision": self.plan.revision if self.plan else None,
            "settings": self.settings.as_json() if self.settings else None,
            "diagnostics": self.diagnostics,
            "rendered": self.rendered,
            "bare": self.bare,
            "content": self.content,
        }
        yield b"H", json.dumps(header).encode()
        if self.plan is None:
            return
        for part in parts(self.plan.manifest):
            yield b"M", part.field.encode() + b"\0" + part.text
        for name, text in self.plan.segments.items():
            if name not in held:
                yield b"S", text

    @classmethod
    def load(cls, data: bytes) -> Compiled:
        """Read all frames at once. Raises CompileFault where they were cut off or are something else."""
        receiver = Receiver()
        for _ in receiver.feed(data):
            pass
        for _ in receiver.finish():
            pass
        return receiver.result()


class Receiver:
    """Puts a `Compiled` together. Every method that works yields where it may stop for a while.

    held: segments that are here already, by digest. Raised everywhere: CompileFault.
    """

    def __init__(self, held: Mapping[str, bytes] | None = None) -> None:
        self._held = held or {}
        self._frames = Frames()
        self._total = hashlib.sha256()
        self._header: dict[str, Any] | None = None
        self._manifest = ManifestReader()
        self._came: dict[str, bytes] = {}
        self._result: Compiled | None = None
        self.ended = False
        #: What came after the end, for whoever talks on over the same pipe.
        self.after: list[tuple[bytes, bytes]] = []

    def feed(self, data: bytes) -> Iterator[None]:
        """Take in the next bytes; several steps."""
        try:
            for kind, payload in self._frames.feed(data):
                if self.ended:
                    self.after.append((kind, payload))
                else:
                    self._take(kind, payload)
                yield
        except (ValueError, KeyError, TypeError) as error:
            raise CompileFault(f"the compiler's output does not read: {error}") from error

    def finish(self) -> Iterator[None]:
        """Once `ended`: put the plan together; several steps."""
        if not self.ended or self._header is None:
            raise CompileFault("the compiler's output was cut off")
        header = self._header
        try:
            plan = None
            if header["revision"] is not None:
                plan = yield from self._plan(header["revision"])
            settings = header["settings"]
            self._result = Compiled(
                plan=plan,
                settings=ProcessSettings.from_json(settings) if settings is not None else None,
                diagnostics=tuple(header["diagnostics"]),
                rendered=header["rendered"],
                bare=header["bare"],
                content=header.get("content"),  # files of an earlier version do not tell
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CompileFault(f"the compiler's output does not read: {error}") from error

    def result(self) -> Compiled:
        """What was put together by `finish`."""
        if self._result is None:
            raise CompileFault("the compiler's output was not read to its end")
        return self._result

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == b"E":
            if payload != self._total.digest():
                raise FrameError("it was changed on its way")
            self.ended = True
            return
        self._total.update(frame(kind, payload))
        if (kind == b"H") != (self._header is None):
            raise FrameError("it does not begin with one header")
        if kind == b"H":
            self._header = json.loads(payload)
            if (self._header["format"], self._header["schema"]) != (FORMAT, SCHEMA_VERSION):
                raise PlanDecodeError("it was written by another version of the engine")
        elif kind == b"M":
            field, _, text = payload.partition(b"\0")
            self._manifest.add(Part(field.decode(), text))
        elif kind == b"S":
            self._came[digest(payload)] = payload
        else:
            raise FrameError(f"there is no message {kind!r}")

    def _plan(self, revision: str) -> Generator[None, None, Plan]:
        manifest, found = self._manifest.end()
        if found != revision:
            raise PlanDecodeError("the plan's revision does not match its content")
        segments: dict[str, bytes] = {}
        plan = Plan(manifest, segments, revision)
        for count, name in enumerate(plan.digests()):
            text = self._came.get(name) or self._held.get(name)
            if text is None:
                raise PlanDecodeError(f"segment {name[:12]} is missing")
            segments[name] = text
            if count % _STEP == 0:
                yield
        return plan
