"""Runs the `samples` of provider and dialect files: examples that say what they must become.

`engine providers check` and the tests call it. A sample names only what it is about: a map in `gives` holds
if each of its keys does, a list must agree item by item, anything else must be equal.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import orjson

from engine.compiler.models import Models
from engine.errors import RequestError
from engine.plan.types import Call, Credential, Deployment, Dialect, Provider, Secret
from engine.spec.dialect import DialectSample, DialectSpec
from engine.spec.provider import ProviderSample, ProviderSpec
from engine.upstream.outbound import Outbound
from engine.upstream.protocol import Ask
from engine.upstream.secrets import Secrets
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect
from engine.wire.failures import Classifier
from engine.wire.formats import Formats, faces, moved
from engine.wire.framing import FRAMINGS

#: Events that a stream's bytes alone do not tell the engine.
_OUTCOME: Final = frozenset({"start", "finish", "usage", "error"})

#: A provider that changes nothing of its dialect.
_NO_QUIRKS: Final[Mapping[str, Any]] = {"name": "sample", "drop": []}


@dataclass(frozen=True, slots=True)
class Failed:
    """A sample that does not hold: where in `samples` it stands, what it is called, what is wrong."""

    number: int
    name: str
    message: str


def check_dialect(spec: DialectSpec, dialect: Dialect) -> Iterator[Failed]:
    """The samples of a dialect file that do not hold."""
    bound = BoundDialect(dialect)
    for number, sample in enumerate(spec.samples or ()):
        op = sample.operation or "chat"

        def read(sample: DialectSample = sample, op: str = op) -> str | None:
            found = _reads(bound, bound.classifier(), sample, op)
            return found or _requests(bound, sample, op) or _written(bound, sample, op)

        yield from _run(number, sample.name, read)


def check_provider(
    spec: ProviderSpec, provider: Provider, models: Models, dialects: Callable[[str], Dialect | None]
) -> Iterator[Failed]:
    """The samples of a provider file that do not hold; requests go out in the format that they would go out
    in. `models`: what is known of the provider's models. `dialects`: a dialect by its name.
    """

    @cache
    def spoken(name: str) -> BoundDialect:
        found = dialects(name)
        if found is None:
            raise KeyError(f"there is no dialect {name}")
        return BoundDialect(found)

    assert provider.dialect is not None, f"provider {provider.name} speaks no dialect"
    bound = spoken(provider.dialect)
    classifier = bound.classifier(provider.errors, provider.retry_after)
    for number, sample in enumerate(spec.samples or ()):

        def read(sample: ProviderSample = sample) -> str | None:
            op = sample.operation or "chat"
            return _reads(bound, classifier, sample, op) or _sends(spoken, provider, models, sample, op)

        yield from _run(number, sample.name, read)


def _run(number: int, name: str, check: Callable[[], str | None]) -> Iterator[Failed]:
    try:
        message = check()
    except (ValueError, KeyError, TypeError) as error:
        message = f"{type(error).__name__}: {error}"
    except RequestError as error:
        message = f"the request is refused: {error.message}"
    if message is not None:
        yield Failed(number, name, message)


def _requests(bound: BoundDialect, sample: DialectSample, op: str) -> str | None:
    if sample.request is None:
        return None
    try:
        request = bound.read_request(op, sample.request, {})
    except RequestError as error:
        if sample.refused is None:
            raise
        return (
            None if error.param == sample.refused else f"`{error.param}` is at fault, not `{sample.refused}`"
        )
    if sample.refused is not None:
        return "the request is taken, and should be refused"
    return difference(sample.gives, request)


def _written(bound: BoundDialect, sample: DialectSample, op: str) -> str | None:
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
        return None if error.message == sample.refused else f"it is refused as {error.message!r}"
    if sample.refused is not None:
        return "the request is taken, and should be refused"
    return None if body == sample.sends else f"sends {_short(body)}"


def _reads(
    bound: BoundDialect, classifier: Classifier, sample: DialectSample | ProviderSample, op: str
) -> str | None:
    """The parts of a sample that an upstream would have sent."""
    headers = dict(sample.headers or {})
    if sample.response is not None:
        return difference(sample.gives, bound.read_response(op, sample.response, headers))
    if sample.error is not None:
        return difference(
            sample.gives, classifier.answer(sample.status or 400, headers, orjson.dumps(sample.error))
        )
    if sample.stream is not None:
        data = _framed(bound, op, sample.stream)
        whole = bound.stream_reader(op, classifier)
        events = whole.feed(data) + whole.eof()
        split = bound.stream_reader(op, classifier)
        bytewise = [e for i in range(len(data)) for e in split.feed(data[i : i + 1])] + split.eof()
        if events != bytewise:
            return "the events depend on where the bytes are cut"
        return difference(sample.gives, events) or _skimmed(bound, classifier, op, data)
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


def _sends(
    spoken: Callable[[str], BoundDialect], provider: Provider, models: Models, sample: ProviderSample, op: str
) -> str | None:
    if sample.request is None and sample.asks is None:
        return None
    bound = spoken(cast(str, provider.dialect))
    model = sample.model or models.first() or "model"
    region = next(iter(provider.regions.values()))
    deployment = Deployment(
        name="sample",
        provider=provider.name,
        model=model,
        wire_model=models.wire(model),
        region=region.name,
        base_url=region.base_url,
        residency=region.residency,
        credentials=(Credential("sample", provider.name, {"secret": (Secret("env", "SAMPLE"),)}, {}),),
        facts=models.facts(model) or models.unlisted(),
        call=Call(),
        urls=(region.base_url,) * len(provider.speaks),
    )
    read = sample.asks if sample.request is None else bound.read_request(op, sample.request, {})
    request = cast(Request, read)
    formats = Formats(provider, deployment, lambda name: spoken(name).operations)
    number = formats.choose(op, bound.name, request)
    face = faces(provider)[number]
    if number:
        deployment = moved(deployment, provider, number)
    outbound = Outbound(face, deployment, spoken(cast(str, face.dialect)), op, Secrets({"SAMPLE": "k"}))
    stream = bool(request.get("stream"))
    ask = Ask(request, deployment, {}, None, bound.name, op, body=sample.request, stream=stream)
    body, _, _ = outbound.body(ask, stream)
    if not outbound.waits:
        outbound.address(stream)
    return None if body == sample.sends else f"sends {_short(body)}"


def difference(want: Any, found: Any, at: str = "") -> str | None:
    """Where `found` is not what was wanted, in words; None where it is."""
    if isinstance(want, Mapping) and isinstance(found, Mapping):
        for key, value in want.items():
            inner = f"{at}.{key}" if at else str(key)
            if key not in found:
                return f"`{inner}` is missing"
            if (message := difference(value, found[key], inner)) is not None:
                return message
        return None
    if isinstance(want, list) and isinstance(found, list):
        if len(want) != len(found):
            return f"`{at or 'the result'}` has {len(found)} items, not {len(want)}: {_short(found)}"
        for number, (one, other) in enumerate(zip(want, found, strict=True)):
            if (message := difference(one, other, f"{at}[{number}]")) is not None:
                return message
        return None
    return None if want == found else f"`{at or 'the result'}` is {_short(found)}, not {_short(want)}"


def _short(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 900 else text[:899] + "…"
