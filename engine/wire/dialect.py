"""A dialect of the plan, bound to functions: everything that reads or writes one wire format.

Nothing here, and nobody above, names a field of a format: that is the dialect file's business. The driver
adds what holds for all of them: bodies are checked before they are read, finish reasons are mapped, counts
are made canonical, faults become `RequestError`s with the name of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import engine.wire.regex  # noqa: F401 - makes RE2 the engine of the patterns in plans
from engine.errors import ERROR_CODES, STATUS, EngineError, RequestError
from engine.plan.code import WireTypeError, bind_expr, bind_template
from engine.plan.values import Template
from engine.plan.vendors import Dialect, ErrorRule, Operation, RetryAfter
from engine.wire import ledger, native_only, shape
from engine.wire import usage as usage_counts
from engine.wire.adjust import BoundAdjust
from engine.wire.canonical import Error, Request
from engine.wire.costs import BoundCosts
from engine.wire.failures import RETRY_AFTER, Classifier
from engine.wire.operations import AnyReply, AnyRequest, check_reply
from engine.wire.poll import BoundPoll
from engine.wire.stream_reader import BoundStreamRead, StreamReader, finish_reason
from engine.wire.stream_writer import BoundStreamWrite, StreamWriter

Bound = Callable[..., Any]


def _bound(template: Template | None) -> Bound | None:
    return bind_template(template) if template is not None else None


class BoundOperation:
    """One operation of a dialect. What the file leaves out is None: it cannot be read or written so."""

    def __init__(self, plan: Operation, dialect: Dialect) -> None:
        self.plan = plan
        self.check = shape.bind(plan.check) if plan.check is not None else None
        fields = plan.check.get("fields") if isinstance(plan.check, Mapping) else None
        self.adjust = BoundAdjust(plan.adjust)
        self.native_field = native_only.bind(plan.native_only)
        self.known = frozenset(fields) if fields is not None else None
        self.request_read = _bound(plan.request_read)
        self.request_write = _bound(plan.request_write)
        self.response_read = _bound(plan.response_read)
        self.response_write = _bound(plan.response_write)
        self.path = _bound(plan.path)
        self.stream_path = _bound(plan.stream_path) or self.path
        self.headers = tuple((name.lower(), bind_template(value)) for name, value in plan.headers.items())
        self.poll = BoundPoll(plan.poll) if plan.poll is not None else None
        self.success_when = bind_expr(plan.success_when) if plan.success_when is not None else None
        self.raw_when = bind_expr(plan.raw_when) if plan.raw_when is not None else None
        self.dropped = ledger.field_loss(dialect.ledger.get(plan.name, {}), plan.name)
        self.usage = usage_counts.bind(dialect.usage)
        self.stream_read = (
            BoundStreamRead(plan.stream_read, dialect.finish, self.usage)
            if plan.stream_read is not None
            else None
        )
        self.stream_write = BoundStreamWrite(plan.stream_write) if plan.stream_write is not None else None


class BoundDialect:
    """One wire format, both ways. Made once per plan; operations are bound when they are first used."""

    def __init__(self, plan: Dialect) -> None:
        self.plan = plan
        self.name = plan.name
        self.costs = BoundCosts(plan.costs, {name: each.wire for name, each in plan.operations.items()})
        self._operations: dict[str, BoundOperation] = {}
        self._error_read = _bound(plan.error_read)
        self._error_write = _bound(plan.error_write)
        self._models_write = _bound(plan.models_write)
        self._classifier = Classifier(plan.errors, self._error_read, default=plan.error_default)

    @property
    def operations(self) -> frozenset[str]:
        """The names of its operations."""
        return frozenset(self.plan.operations)

    def operation(self, name: str) -> BoundOperation:
        """The operation of that name. Raises KeyError where the dialect has none."""
        found = self._operations.get(name)
        if found is None:
            found = self._operations[name] = BoundOperation(self.plan.operations[name], self.plan)
        return found

    # --- requests

    def read_request(self, op: str, body: Any, headers: Mapping[str, str]) -> AnyRequest:
        """A client's body as the canonical request; fields that the format does not name go to `extra`.

        Raises:
            RequestError: a field is missing or wrong; `param` is its path in the body.
        """
        bound = self.operation(op)
        if type(body) is not dict:
            raise RequestError("the body is not a JSON object", code="invalid_type")
        if bound.request_read is None:
            raise RequestError(f"{self.name} does not take {op} requests", code="unsupported")
        if bound.check is not None:
            bound.check(body)
        try:
            request = bound.request_read(body, headers)
        except WireTypeError as error:
            raise RequestError(str(error), code="invalid_type", param=error.path) from None
        read: AnyRequest = request if request is not None else {}
        # Whoever counts or admits a request goes by it, so it does not hang on what the file writes.
        read["operation"] = cast(Any, "chat" if op == "count_tokens" else op)
        if bound.known is not None and not body.keys() <= bound.known:
            read["extra"] = {key: value for key, value in body.items() if key not in bound.known}
        return read

    def write_request(
        self,
        op: str,
        request: AnyRequest,
        facts: Mapping[str, Any],
        target: Mapping[str, Any],
        provider: Mapping[str, Any],
    ) -> dict[str, Any]:
        """A canonical request as this format's body. Raises RequestError where the format cannot carry it."""
        bound = self.operation(op)
        if bound.request_write is None:
            raise RequestError(f"{self.name} cannot send {op} requests", code="unsupported")
        try:
            return cast("dict[str, Any]", bound.request_write(request, facts, target, provider) or {})
        except WireTypeError as error:
            raise RequestError(str(error), code="invalid_type", param=error.path) from None

    def native_field(self, op: str, body: Mapping[str, Any] | None) -> str | None:
        """A field of a client's body that only its own format can carry (`native_only`); None: there is none.

        `false` and `null` ask for nothing.
        """
        if body is None or op not in self.plan.operations:
            return None
        return self.operation(op).native_field(body)

    # --- answers

    def read_response(self, op: str, body: Any, headers: Mapping[str, str], status: int = 200) -> AnyReply:
        """A vendor's body as the canonical reply. Raises ValueError where it is none."""
        bound = self.operation(op)
        if bound.response_read is None:
            raise ValueError(f"{self.name} cannot read {op} answers")
        reply = bound.response_read(body, headers, status)
        fault = check_reply(op, reply)
        if fault is not None:
            raise ValueError(fault)
        finish = self.plan.finish
        for choice in reply.get("choices", ()):
            choice["finish_reason"] = finish_reason(choice.get("native_finish_reason"), finish)
        reply["usage"] = bound.usage(reply.get("usage"))
        return cast(AnyReply, reply)

    def may_pass(self, op: str, body: Any, request: AnyRequest) -> bool:
        """Whether an answer in this format may go to a client of it as it is."""
        when = self.operation(op).raw_when
        return when is None or bool(when(body, request))

    def write_response(self, op: str, reply: AnyReply, request: AnyRequest) -> dict[str, Any]:
        """A canonical reply as this format's body."""
        bound = self.operation(op)
        if bound.response_write is None:
            raise RequestError(f"{self.name} cannot answer {op} requests", code="unsupported")
        return cast("dict[str, Any]", bound.response_write(reply, request) or {})

    def stream_reader(
        self,
        op: str,
        classifier: Classifier | None = None,
        *,
        keep_raw: bool = False,
        hide_usage: bool = False,
        hold_usage: bool = False,
        skim: bool = False,
    ) -> StreamReader:
        """A reader for one stream. Raises KeyError where the format has no stream."""
        bound = self.operation(op).stream_read
        if bound is None:
            raise KeyError(f"{self.name} has no stream of {op}")
        return StreamReader(
            bound,
            classifier or self._classifier,
            keep_raw=keep_raw,
            hide_usage=hide_usage,
            hold_usage=hold_usage,
            skim=skim,
        )

    def stream_writer(self, op: str, request: Request) -> StreamWriter:
        """A writer for one stream. Raises KeyError where the format has no stream."""
        bound = self.operation(op).stream_write
        if bound is None:
            raise KeyError(f"{self.name} has no stream of {op}")
        return StreamWriter(bound, request)

    # --- errors and lists

    def classifier(
        self, rules: tuple[ErrorRule, ...] = (), retry_after: tuple[RetryAfter, ...] = RETRY_AFTER
    ) -> Classifier:
        """The classifier of a provider that speaks this dialect: its rules first."""
        rules = rules + self.plan.errors
        return Classifier(rules, self._error_read, retry_after, self.plan.error_default)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        """A failed answer by this dialect's rules alone."""
        return self._classifier.answer(status, headers, body)

    def status(self, error: EngineError) -> int:
        """The HTTP status of a failure in this format: its own for the class, where the usual one stands."""
        own = self._named(error).get("status")
        usual = error.status == STATUS.get(error.failure)
        return own if own is not None and usual else error.status

    def error(self, error: EngineError) -> dict[str, Any]:
        """The canonical error that `error_write` and a stream's error event are made from."""
        named = self._named(error)
        code = error.code
        if "code" in named and code == ERROR_CODES.get(error.failure):
            code = named["code"]
        return {
            "failure": error.failure,
            "status": self.status(error),
            "message": error.message,
            "code": code,
            "type": named.get("type"),
            "param": error.param,
        }

    def _named(self, error: EngineError) -> Mapping[str, Any]:
        """What this format calls the failure's class."""
        types = self.plan.error_types
        return types.get(error.code) or types.get(error.failure) or types.get("default") or {}

    def write_error(self, error: EngineError) -> dict[str, Any]:
        """A failure as this format's error body."""
        told = self.error(error)
        if self._error_write is None:
            return {"error": {"message": error.message, "code": error.code}}
        return cast("dict[str, Any]", self._error_write(told) or {})

    def stream_error(self, writer: StreamWriter, error: EngineError) -> bytes:
        """A failure as the last event of a stream that has begun."""
        return writer.failure({"type": "error", "error": self.error(error)})

    def write_models(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        """The list of models; each has `id`, `owned_by`, `created`."""
        if self._models_write is None:
            return {"data": models}
        return cast("dict[str, Any]", self._models_write(models) or {})
