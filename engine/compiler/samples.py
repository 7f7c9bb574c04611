"""Runs the `samples` of provider and dialect files: examples that say what they must become.

`engine providers check` and the tests call it. A sample names only what it is about: a map in `gives` holds
if each of its keys does, a list must agree item by item, anything else must be equal.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import orjson

from engine.errors import RequestError
from engine.plan.vendors import Dialect
from engine.spec.dialect import DialectSample, DialectSpec
from engine.spec.provider import ProviderSample
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect
from engine.wire.failures import Classifier
from engine.wire.framing import FRAMINGS

#: Events that a stream's bytes alone do not tell the engine.
_OUTCOME: Final = frozenset({"start", "finish", "usage", "error"})

#: A provider that changes nothing of its dialect.
_NO_QUIRKS: Final[Mapping[str, Any]] = {"name": "sample", "drop": []}


@dataclass(frozen=True, slots=True)
class Failed:
    """A sample that does not hold: where in `samples` it stands, what it is called, what is wrong.

    field: of the sample, dotted: `gives.usage.input_tokens`; empty where it is the sample as a whole.
    """

    number: int
    name: str
    message: str
    field: str = ""


class Wrong(NamedTuple):
    """What does not hold: the field of the sample, and words."""

    field: str
    words: str


def check_dialect(spec: DialectSpec, dialect: Dialect) -> Iterator[Failed]:
    """The samples of a dialect file that do not hold."""
    bound = BoundDialect(dialect)
    for number, sample in enumerate(spec.samples or ()):
        op = sample.operation or "chat"

        def read(sample: DialectSample = sample, op: str = op) -> Wrong | None:
            found = reads(bound, bound.classifier(), sample, op)
            return found or _requests(bound, sample, op) or _written(bound, sample, op)

        yield from run(number, sample.name, read)


def run(number: int, name: str, check: Callable[[], Wrong | None]) -> Iterator[Failed]:
    """The sample's failure, where its check tells of one or breaks off."""
    try:
        wrong = check()
    except (ValueError, KeyError, TypeError) as error:
        wrong = Wrong("", f"{type(error).__name__}: {error}")
    except RequestError as error:
        wrong = Wrong("", f"the request is refused: {error.message}")
    if wrong is not None:
        yield Failed(number, name, wrong.words, wrong.field)


def _requests(bound: BoundDialect, sample: DialectSample, op: str) -> Wrong | None:
    if sample.request is None:
        return None
    try:
        request = bound.read_request(op, sample.request, {})
    except RequestError as error:
        if sample.refused is None:
            raise
        words = f"`{error.param}` is at fault, not `{sample.refused}`"
        return None if error.param == sample.refused else Wrong("refused", words)
    if sample.refused is not None:
        return Wrong("refused", "the request is taken, and should be refused")
    return differs("gives", sample.gives, request)


def _written(bound: BoundDialect, sample: DialectSample, op: str) -> Wrong | None:
    """What a canonical request is sent as, after the dialect's own rules."""
    if sample.asks is None:
        return None
    request = cast(Request, sample.asks)
    target = {"wire_model": sample.model or request.get("model", "model"), "operation": op}
    try:
        adjusted = bound.operation(op).adjust(request, {}, target, _NO_QUIRKS, [])
        body = bound.write_request(op, adjusted, {}, target, _NO_QUIRKS)
    except RequestError as error:
        if sample.refused is None:
            raise
        words = f"it is refused as {error.message!r}"
        return None if error.message == sample.refused else Wrong("refused", words)
    if sample.refused is not None:
        return Wrong("refused", "the request is taken, and should be refused")
    return sends(sample.sends, body)


def sends(want: Any, body: Any) -> Wrong | None:
    """Where a body is not what `sends` says: all of it counts, not the named keys alone."""
    if body == want:
        return None
    found = differs("sends", want, body) or differs("sends", body, want)
    field = found.field if found is not None else "sends"
    return Wrong(field, f"sends {_short(body)}" + (f"; {found.words}" if found is not None else ""))


def differs(key: str, want: Any, found: Any) -> Wrong | None:
    """Where `found` is not what stands at a sample's `key`."""
    wrong = _differs(want, found, "")
    return (
        None if wrong is None else Wrong(f"{key}.{wrong.field}".rstrip(".").replace(".[", "["), wrong.words)
    )


def reads(
    bound: BoundDialect, classifier: Classifier, sample: DialectSample | ProviderSample, op: str
) -> Wrong | None:
    """The parts of a sample that an upstream would have sent."""
    headers = dict(sample.headers or {})
    if sample.response is not None:
        return differs("gives", sample.gives, bound.read_response(op, sample.response, headers))
    if sample.error is not None:
        answer = classifier.answer(sample.status or 400, headers, orjson.dumps(sample.error))
        return differs("gives", sample.gives, answer)
    if sample.stream is not None:
        data = _framed(bound, op, sample.stream)
        whole = bound.stream_reader(op, classifier)
        events = whole.feed(data) + whole.eof()
        split = bound.stream_reader(op, classifier)
        bytewise = [e for i in range(len(data)) for e in split.feed(data[i : i + 1])] + split.eof()
        if events != bytewise:
            return Wrong("stream", "the events depend on where the bytes are cut")
        missed = _skimmed(bound, classifier, op, data)
        wrong = differs("gives", sample.gives, events)
        return wrong or (None if missed is None else Wrong("stream", missed))
    return None


def _skimmed(bound: BoundDialect, classifier: Classifier, op: str, data: bytes) -> str | None:
    """What a reader that leaves most events unread gets wrong."""
    told = []
    for skim in (False, True):
        reader = bound.stream_reader(op, classifier, keep_raw=True, skim=skim)
        frames: list[bytes] = []
        events = []
        for byte in range(len(data)):
            events += reader.feed(data[byte : byte + 1])
            frames.append(reader.raw)
        events += reader.eof()
        told.append(([e for e in events if e["type"] in _OUTCOME], b"".join([*frames, reader.raw])))
    return None if told[0] == told[1] else f"`look_for` misses events that matter: {_short(told[1][0])}"


def _framed(bound: BoundDialect, op: str, items: Sequence[Any]) -> bytes:
    """The bytes of a stream, in the framing that the dialect reads."""
    plan = bound.operation(op).plan.stream_read
    decoder = "sse" if plan is None else plan.decoder
    if decoder == "json_array":
        return orjson.dumps(list(items))
    encode = FRAMINGS[decoder].encode
    assert encode is not None
    inner = plan is not None and plan.options.get("inner") == "base64-json"
    return b"".join([encode(*_datum(item, inner=inner)) for item in items])


def _datum(item: Any, *, inner: bool) -> tuple[bytes, str]:
    """Data and name of one event of a sample."""
    name = ""
    if isinstance(item, dict):
        name = item.get("$exception") or item.get("$event") or ""
        failed = "$exception" in item
        rest = {key: value for key, value in item.items() if key not in ("$event", "$exception", "$data")}
        item = item.get("$data", rest)
        inner = inner and not failed
    data = item.encode() if isinstance(item, str) else orjson.dumps(item)
    return (orjson.dumps({"bytes": b64encode(data).decode()}) if inner else data), name


def difference(want: Any, found: Any) -> str | None:
    """Where `found` is not what was wanted, in words; None where it is."""
    wrong = _differs(want, found, "")
    return None if wrong is None else wrong.words


def _differs(want: Any, found: Any, at: str) -> Wrong | None:
    if isinstance(want, Mapping) and isinstance(found, Mapping):
        for key, value in want.items():
            inner = f"{at}.{key}" if at else str(key)
            if key not in found:
                return Wrong(inner, f"`{inner}` is missing")
            if (wrong := _differs(value, found[key], inner)) is not None:
                return wrong
        return None
    here = at or "the result"
    if isinstance(want, list) and isinstance(found, list):
        if len(want) != len(found):
            return Wrong(at, f"`{here}` has {len(found)} items, not {len(want)}: {_short(found)}")
        for number, (one, other) in enumerate(zip(want, found, strict=True)):
            if (wrong := _differs(one, other, f"{at}[{number}]")) is not None:
                return wrong
        return None
    return None if want == found else Wrong(at, f"`{here}` is {_short(found)}, not {_short(want)}")


def _short(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 900 else text[:899] + "…"
