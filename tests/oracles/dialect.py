"""A shipped dialect, bound, for the tests that hold it against an oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from engine.builtin import builtin
from engine.compiler.load import Source
from engine.compiler.lower_dialect import lower_dialect
from engine.compiler.parse import parse
from engine.diagnostics import Diagnostics
from engine.spec.dialect import DialectSpec
from engine.wire.canonical import Event, Request
from engine.wire.dialect import BoundDialect
from engine.wire.operations import AnyReply, AnyRequest


class Shipped:
    """One dialect of `providers.d/dialects`, and one operation of it."""

    def __init__(self, name: str, operation: str = "chat") -> None:
        out = Diagnostics()
        text = (builtin("providers.d") / "dialects" / f"{name}.yaml").read_text()
        source = Source(path=f"providers.d/dialects/{name}.yaml", text=text, kind="dialect", digest="")
        document = parse(source, out)
        assert document is not None, list(map(str, out))
        plan = lower_dialect(DialectSpec.model_validate(document.data), name, document, out)
        assert plan is not None, list(map(str, out))
        self.bound = BoundDialect(plan)
        self.operation = operation

    def write(
        self, request: AnyRequest, facts: Mapping[str, Any] | None = None, **target: Any
    ) -> dict[str, Any]:
        """The vendor's body for a canonical request, adjusted, as it comes off the wire.

        Raises RequestError where the format cannot carry it.
        """
        told = {"wire_model": "wire-model", **target}
        adjusted = self.adjust(request, facts, **target)
        provider = {"name": "x", "drop": []}
        body = self.bound.write_request(self.operation, adjusted, facts or {}, told, provider)
        return cast("dict[str, Any]", orjson.loads(orjson.dumps(body)))

    def adjust(self, request: AnyRequest, facts: Mapping[str, Any] | None = None, **target: Any) -> Request:
        """The request as the dialect's `adjust` rules leave it."""
        told = {"wire_model": "wire-model", **target}
        rules = self.bound.operation(self.operation).adjust
        return rules(request, facts or {}, told, {"name": "x", "drop": []}, []) if rules else request

    def read(self, body: Mapping[str, Any]) -> AnyRequest:
        """A client's body as the canonical request."""
        return self.bound.read_request(self.operation, body, {})

    def answer(self, reply: AnyReply, request: AnyRequest | None = None) -> dict[str, Any]:
        """A reply as a client gets it."""
        body = self.bound.write_response(self.operation, reply, request or {})
        return cast("dict[str, Any]", orjson.loads(orjson.dumps(body)))

    def stream(self, events: list[Event], request: Request | None = None) -> bytes:
        """Events as a client gets them, to the end of the stream."""
        writer = self.bound.stream_writer(self.operation, request or {})
        return writer.events(events) + writer.end()

    def events(self, data: bytes, step: int | None = None) -> list[Event]:
        """What a stream of a vendor says; `step`: fed in pieces of so many bytes."""
        reader = self.bound.stream_reader(self.operation)
        found: list[Event] = []
        for start in range(0, len(data), step or len(data) or 1):
            found += reader.feed(data[start : start + (step or len(data))])
        return found + reader.eof()
