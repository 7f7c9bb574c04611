"""The ledger of a pair: what becomes of each canonical field between a client's format and an upstream's.

A request goes from the client's format into the upstream's; the answer comes back from the upstream's format
into the client's, whole or as a stream. Each column asks only about what its sender can say: a field that
Anthropic's format has no word for cannot be lost on its way from a client that speaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.compiler.vendors import Vendor
from engine.plan.types import Call, Deployment
from engine.upstream.outbound import Outbound
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect
from engine.wire.ledger import Status, Write, status
from engine.wire.probes import REPLIES, REQUESTS, Probe
from engine.wire.whole import Collector, events_of

#: What a format can say of a field, for the question whether a field can get lost behind it.
_SAID: Final = frozenset({"kept", "renamed", "approximated"})
_TARGET: Final[Mapping[str, Any]] = {
    "name": "ledger",
    "model": "model",
    "wire_model": "model",
    "stream": False,
}
_PROVIDER: Final[Mapping[str, Any]] = {"name": "ledger", "drop": []}


@dataclass(frozen=True, slots=True)
class Pair:
    """Field to what becomes of it: in a request, in a whole answer, in a streamed one. A field that its
    sender's format cannot say is not there.
    """

    client: str
    upstream: str
    request: Mapping[str, Status]
    reply: Mapping[str, Status]
    stream: Mapping[str, Status]


def pair(client: BoundDialect, upstream: BoundDialect, write: Write | None = None) -> Pair:
    """The ledger between two formats.

    Args:
        client: the format that the client speaks; it must be one that clients can speak.
        upstream: the format of the vendor.
        write: what writes a request for the upstream, where a vendor's own quirks count: its `drop`, the
            facts of a model. Default: the bare format.
    """
    if client.name == upstream.name and write is None:
        return Pair(
            client.name, upstream.name, _all(client, REQUESTS), _all(client, REPLIES), _all(client, REPLIES)
        )
    sends = {probe.name for probe in REQUESTS if _says(probe, _request_write(client), _request_read(client))}
    answers = {probe.name for probe in REPLIES if _answers(probe, upstream)}
    put = write or _request_write(upstream)
    back = _request_read(upstream) if upstream.operation("chat").request_read is not None else None
    return Pair(
        client.name,
        upstream.name,
        {p.name: status(p, put, back) for p in REQUESTS if p.name in sends},
        {p.name: status(p, _reply_write(client), _reply_read(client)) for p in REPLIES if p.name in answers},
        {p.name: _streamed(p, client) for p in REPLIES if p.name in answers},
    )


def _streamed(probe: Probe, client: BoundDialect) -> Status:
    found = status(probe, _stream_write(client), _stream_read(client))
    return "kept" if found == "renamed" else found  # in bytes nothing has a name


def vendor_write(vendor: Vendor, dialect: BoundDialect, model: str | None) -> Write:
    """What writes a request as it goes to a vendor: its renames, what it drops, the facts of the model."""
    provider = vendor.provider
    region = provider.regions.get(provider.default_region) or next(iter(provider.regions.values()))
    name = model or "model"
    deployment = Deployment(
        name="ledger",
        provider=provider.name,
        model=name,
        wire_model=name,
        region=region.name,
        base_url=region.base_url,
        residency=region.residency,
        credentials=(),
        facts=(vendor.models.facts(name) if model is not None else None) or vendor.models.unlisted(name),
        call=Call(),
    )
    return Outbound(provider, deployment, dialect, "chat", Secrets({})).written


def _all(dialect: BoundDialect, probes: tuple[Probe, ...]) -> dict[str, Status]:
    """One format on both sides: the bytes pass, so all that it can say is kept."""
    write, read = (
        (_request_write(dialect), _request_read(dialect))
        if probes is REQUESTS
        else (_reply_write(dialect), _reply_read(dialect))
    )
    return {probe.name: "kept" for probe in probes if _says(probe, write, read)}


def _says(probe: Probe, write: Write, read: Callable[[Any], Mapping[str, Any]]) -> bool:
    return status(probe, write, read) in _SAID


def _answers(probe: Probe, upstream: BoundDialect) -> bool:
    """Whether an answer of this format can hold the field; one that is only read is taken at its word."""
    if upstream.operation("chat").response_write is None:
        return True
    return _says(probe, _reply_write(upstream), _reply_read(upstream))


def _request_write(dialect: BoundDialect) -> Write:
    adjust = dialect.operation("chat").adjust

    def write(request: Any) -> Any:
        request = adjust(request, {}, _TARGET, _PROVIDER, [])
        target = {**_TARGET, "max_tokens": request.get("max_tokens")}
        return dialect.write_request("chat", request, {}, target, _PROVIDER)

    return write


def _request_read(dialect: BoundDialect) -> Callable[[Any], Mapping[str, Any]]:
    # A format whose model stands in the path is read with the model put into the body.
    path = {"model": "model"} if dialect.operation("chat").plan.model_field is None else {}
    return lambda body: dialect.read_request("chat", {**path, **body}, {})


def _reply_write(dialect: BoundDialect) -> Write:
    return lambda reply: dialect.write_response("chat", reply, {"operation": "chat", "model": "model"})


def _reply_read(dialect: BoundDialect) -> Callable[[Any], Mapping[str, Any]]:
    return lambda body: dialect.read_response("chat", body, {}, 200)


def _stream_write(dialect: BoundDialect) -> Write:
    def write(reply: Any) -> bytes:
        request: Any = {"operation": "chat", "model": "model", "stream": True, "include_usage": True}
        writer = dialect.stream_writer("chat", request)
        return writer.events(events_of(reply)) + writer.end()

    return write


def _stream_read(dialect: BoundDialect) -> Callable[[Any], Mapping[str, Any]]:
    def read(data: bytes) -> Mapping[str, Any]:
        reader = dialect.stream_reader("chat")
        collector = Collector()
        collector.add(reader.feed(data) + reader.eof())
        if collector.error is not None:
            raise ValueError(collector.error.get("message", "the stream failed"))
        return collector.reply(0)

    return read
