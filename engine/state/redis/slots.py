"""A cluster's slots: which of them a key is in, whose they are, and where a server sends who asks wrongly."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal

from engine.state.redis.address import Place

SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True)
class Shard:
    """places: its servers, the primary first. slots: the first and the last of each range."""

    places: tuple[Place, ...]
    slots: tuple[tuple[int, int], ...]

    def all_slots(self) -> list[int]:
        return [slot for first, last in self.slots for slot in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Redirect:
    """What a server answers that is not asked about its own. `moved`: for good, `ask`: for this once,
    `later`: while a slot moves, of keys that are half here and half there.
    """

    kind: Literal["moved", "ask", "later"]
    slot: int = -1
    place: Place | None = None

    def __str__(self) -> str:
        return self.kind if self.place is None else f"{self.kind} {self.slot} {self.place}"


def slot_of(key: str) -> int:
    """As servers work it out: of what stands in the first braces, or of all of it."""
    text = key.encode()
    start = text.find(b"{")
    if start >= 0:
        end = text.find(b"}", start + 1)
        if end > start + 1:
            text = text[start + 1 : end]
    return crc_hqx(text, 0) % SLOTS


def own_key(name: str, owns: Callable[[int], bool]) -> str:
    """A key of that name in a slot of one shard: the same in every process that sees the same slots."""
    return next(key for tag in count() if owns(slot_of(key := name.format(tag))))


def shards_of(answer: Any, asked: Place) -> list[Shard]:
    """What CLUSTER SLOTS answers. Raises ValueError where it is something else.

    asked: who answered; a server without a name is at the same host.
    """
    found: dict[tuple[Place, ...], list[tuple[int, int]]] = {}
    try:
        for first, last, *servers in answer:
            places = tuple(_place(host, int(port), asked) for host, port, *_ in servers)
            if not places:
                raise ValueError("slots without a server")
            found.setdefault(places, []).append((int(first), int(last)))
    except TypeError as error:
        raise ValueError(f"CLUSTER SLOTS answers {answer!r:.200}") from error
    if not found:
        raise ValueError("it has no slots yet")
    return [Shard(places, tuple(slots)) for places, slots in found.items()]


def redirect_of(answer: Any, asked: Place) -> Redirect | None:
    """None: it is none."""
    if not isinstance(answer, Exception):
        return None
    code = getattr(answer, "status_code", None)
    if code == "TRYAGAIN":
        return Redirect("later")
    if code not in ("MOVED", "ASK"):
        return None
    error: Any = answer
    place = _place(error.host, error.port, asked)
    return Redirect("moved" if code == "MOVED" else "ask", int(error.slot_id), place)


def _place(host: Any, port: int, asked: Place) -> Place:
    name = host.decode() if isinstance(host, bytes) else host or ""
    return Place(asked.host if name in ("", "?") else name.strip("[]"), port)
