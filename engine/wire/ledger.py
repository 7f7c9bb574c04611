"""What becomes of each canonical field in a wire format: kept, renamed, approximated, synthesised or dropped.

Nothing here is declared. Each `Probe` is written by the very templates that serve requests and read back: if
what is written is the same without the field, it is dropped; if reading finds the field again, it is kept,
or renamed where the wire calls it otherwise; if the wire says something of it that does not lead back to the
same value, it is approximated; if the templates refuse it, nothing is sent. A field that is read back though
it was never there is synthesised. So a template cannot lie about itself, and a vendor's quirks (`drop`,
`rename`, `adjust`, the facts of a model) count as soon as `write` has them in it.

That is for chats. Embeddings and rerankings have few fields and no parts: there a field is lost if no
template reads it, which the compiler finds out (`fields`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from engine.errors import RequestError
from engine.wire.operations import AnyRequest, form
from engine.wire.probes import Probe

Status = Literal["kept", "renamed", "approximated", "synthesised", "dropped", "refused"]
STATUSES: Final[tuple[Status, ...]] = (
    "kept", "renamed", "approximated", "synthesised", "dropped", "refused",
)  # fmt: skip

#: A canonical value as a wire body. Raises RequestError where the format cannot carry it.
Write = Callable[[Any], Any]
#: A wire body as the canonical value. Raises RequestError or ValueError where it is none.
Read = Callable[[Any], Mapping[str, Any]]


def status(probe: Probe, write: Write, read: Read | None) -> Status:
    """What becomes of the probe's field. `read`: None for a format that is only written."""
    try:
        body = write(probe.value)
    except RequestError:
        return "refused"
    bare = _written(write, probe.without)
    found = probe.find(probe.value)
    there = None if read is None else _back(probe, read, body)
    if body == bare:
        return "synthesised" if there is not None and there == found else "dropped"
    before = set(map(repr, _leaves(bare)))
    new = [(keys, value) for keys, value in _leaves(body) if repr((keys, value)) not in before]
    if not (there == found if read is not None else any(_tells(value, found) for _, value in new)):
        return "approximated"
    name = probe.path.replace("]", "").split(".")[-1].split("[")[0]
    return "kept" if any(name in keys for keys, _ in new) else "renamed"


def entries(probes: Iterable[Probe], write: Write, read: Read | None) -> dict[str, Status]:
    """The ledger: name of each probe to what becomes of it."""
    return {probe.name: status(probe, write, read) for probe in probes}


def lost(probes: Iterable[Probe], write: Write) -> tuple[Probe, ...]:
    """The probes whose fields leave no trace in what is written."""
    found: list[Probe] = []
    for probe in probes:
        try:
            if write(probe.value) == _written(write, probe.without):
                found.append(probe)
        except RequestError:
            continue
    return tuple(found)


def losses(probes: tuple[Probe, ...]) -> Callable[[Any], tuple[str, ...]]:
    """The function that names what a request loses, where these fields leave no trace. A field of a field
    that is lost as a whole is not named beside it.
    """
    if not probes:
        return lambda request: ()

    by_field = [(probe.path.split(".")[0].split("[")[0], probe) for probe in probes]

    def dropped(request: Any) -> tuple[str, ...]:
        names = sorted(probe.name for field, probe in by_field if field in request and probe.holds(request))
        return tuple(name for name in names if not _inside(name, names))

    return dropped


def _tells(value: Any, found: Any) -> bool:
    """Whether a wire value holds a canonical one, where nothing can read it back."""
    return bool(value == found) or (isinstance(value, str) and isinstance(found, str) and found in value)


def _inside(name: str, names: list[str]) -> bool:
    return any(name.startswith(other + ".") for other in names)


def _written(write: Write, value: Mapping[str, Any]) -> Any:
    try:
        return write(value)
    except RequestError:
        return None


def _back(probe: Probe, read: Read, body: Any) -> Any:
    try:
        return probe.find(read(body))
    except (RequestError, ValueError):
        return None


def _leaves(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The plain values of a body, each with the keys that lead to it; positions in lists do not count."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*keys, key))
        if not value:
            yield keys, {}
    elif isinstance(value, list):
        yield keys, value
        for item in value:
            yield from _leaves(item, keys)
    else:
        yield keys, value


# --- operations without probes

#: A client's own field names that can stand in a header, and how many of them are told.
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMES: Final = 20


def fields(writes: Mapping[str, Iterable[str]], operation: str = "chat") -> dict[str, str]:
    """Of an operation without probes: canonical field -> `kept`, `renamed`, or `dropped`.

    `writes`: canonical field -> the wire fields whose templates read it.
    """
    ledger: dict[str, str] = {}
    forms = form(operation)
    for name in forms.fields:
        if name in forms.ours:
            continue
        wire = tuple(writes.get(name, ()))
        ledger[name] = "dropped" if not wire else "kept" if name in wire else "renamed"
    return ledger


def field_loss(ledger: Mapping[str, str], operation: str = "chat") -> Callable[[AnyRequest], tuple[str, ...]]:
    """The function that names the fields that a request loses by being written so; those that its client's
    format does not name (`extra`) are told by `extra_names`.
    """
    carried = (
        frozenset(name for name, what in ledger.items() if what != "dropped")
        | form(operation).ours
        | {"extra"}
    )

    def dropped(request: AnyRequest) -> tuple[str, ...]:
        return tuple(sorted(request.keys() - carried))

    return dropped


def extra_names(request: AnyRequest) -> tuple[str, ...]:
    """The fields that a client's format does not name, as a header can tell them: they pass to the same
    format only.
    """
    names = sorted(name for name in request.get("extra", {}) if _NAME.fullmatch(name))
    return tuple(names[:_MOST_NAMES]) if names else ("extra",) if request.get("extra") else ()
