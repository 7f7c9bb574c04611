"""A dialect file to the plan's `Dialect`: templates and expressions compiled, the ledger drawn up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from engine.compiler.document import Document, Path
from engine.compiler.expr import compile_expression, compile_template, reads
from engine.compiler.expr.place import Place
from engine.compiler.lower_adjust import adjust_rules
from engine.compiler.lower_poll import lower_poll
from engine.compiler.suggest import did_you_mean
from engine.compiler.wire_fields import parts, wire_fields
from engine.diagnostics import Diagnostics
from engine.errors import ABOUT_KEYS
from engine.plan.scopes import scope_of
from engine.plan.values import Expr, Template
from engine.plan.vendors import (
    Costs,
    Dearer,
    Dialect,
    ErrorRule,
    Hosted,
    Inline,
    Operation,
    Rule,
    StreamRead,
    StreamWrite,
)
from engine.policies.failures import FailureClass
from engine.spec.costs import CostsSpec, HostedSpec
from engine.spec.dialect import (
    DialectSpec,
    ErrorRuleSpec,
    ErrorsSpec,
    OperationSpec,
    StreamReadSpec,
    StreamRuleSpec,
    StreamWriteSpec,
)
from engine.wire import ledger, shape
from engine.wire.framing import FRAMINGS
from engine.wire.native_only import first_field
from engine.wire.operations import OPERATIONS, form

#: Largest piece of media that is fetched for a format, where its file does not say.
INLINE_MAX: Final = 5 << 20


def lower_dialect(spec: DialectSpec, name: str, document: Document, out: Diagnostics) -> Dialect | None:
    """The plan's dialect; None after a fault, which is in `out`. `document` is the merged file."""
    low = _Lower(document, out)
    before = len(out)
    errors = spec.errors
    operations: dict[str, Operation] = {op: low.operation(op, each) for op, each in spec.operations.items()}
    dialect = Dialect(
        name=name,
        operations=operations,
        finish=dict(spec.finish),
        usage={} if spec.usage is None else spec.usage.model_dump(exclude_none=True),
        errors=error_rules(errors.rules if errors is not None else None),
        error_default=low.errors(errors),
        error_read=low.template(("errors", "read"), "error_read", "Error"),
        error_write=low.template(("errors", "write"), "error_write"),
        error_types={
            failure: each.model_dump(exclude_none=True)
            for failure, each in ((errors.types if errors is not None else None) or {}).items()
        },
        models_write=low.template(("models", "write"), "models_write"),
        can=tuple(spec.can),
        costs=_costs(spec.costs),
        ledger={op: low.ledger(each) for op, each in operations.items() if form(op).request != "Request"},
    )
    return None if out.failed and len(out) > before else dialect


def error_rules(rules: tuple[ErrorRuleSpec, ...] | None) -> tuple[ErrorRule, ...]:
    """Error rules as the plan holds them."""
    return tuple(
        ErrorRule(
            failure=rule.failure,
            status=rule.status,
            path=rule.path,
            equals=rule.equals,
            regex=rule.matches,
            header=None if rule.header is None else rule.header.lower(),
            told=rule.told,
        )
        for rule in rules or ()
    )


def _field(written: str | Literal[False] | None, usual: str) -> str | None:
    """The field that is meant; None where the file says that there is none."""
    return usual if written is None else written or None


def _costs(spec: CostsSpec | None) -> Costs:
    if spec is None:
        return Costs()
    hosted = spec.hosted or HostedSpec()
    return Costs(
        tuple(Dearer(each.field, _usual(each.usual), each.most, each.why) for each in spec.dearer or ()),
        spec.elsewhere or (),
        Hosted(hosted.uses, hosted.all_uses, hosted.told or ()),
    )


def _usual(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if values is None:
        return None
    return tuple(value.lower() if isinstance(value, str) else value for value in values)


@dataclass
class _Lower:
    document: Document
    out: Diagnostics

    def at(self, path: Path) -> Any:
        """What the file says at `path`; None where it says nothing."""
        value: Any = self.document.data
        for step in path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def template(
        self,
        path: Path,
        scope: str,
        want: str | None = None,
        escape: Literal["text", "path", "header"] = "text",
    ) -> Template | None:
        data = self.at(path)
        if data is None:
            return None
        blocks = self.at(("blocks",)) or {}
        return compile_template(
            data,
            document=self.document,
            path=path,
            scope=scope,
            want=want,
            out=self.out,
            blocks=blocks,
            escape=escape,
        )

    def expression(self, path: Path, scope: str) -> Expr | None:
        text = self.at(path)
        if text is None:
            return None
        return compile_expression(
            text, place=Place(self.document, path), scope=scope, want="bool", out=self.out
        )

    def operation(self, name: str, spec: OperationSpec) -> Operation:
        path: Path = ("operations", name)
        self.check(name, spec, path)
        stream, forms = spec.stream, form(name)
        read = self.template((*path, "request", "read"), scope_of(name, "request_read"), forms.request)
        write = self.template((*path, "request", "write"), scope_of(name, "request_write"))
        return Operation(
            name=name,
            path=self.template((*path, "path"), "call", escape="path"),
            stream_path=self.template((*path, "stream_path"), "call", escape="path"),
            ingress=spec.ingress or (),
            stream_ingress=spec.stream_ingress or (),
            headers=self.templates((*path, "headers"), "call", "header"),
            request_read=read,
            request_write=write,
            response_read=self.template(
                (*path, "response", "read"), scope_of(name, "response_read"), forms.reply
            ),
            response_write=self.template((*path, "response", "write"), scope_of(name, "response_write")),
            stream_read=self.stream_read(stream.read, (*path, "stream", "read"))
            if stream and stream.read
            else None,
            stream_write=self.stream_write(stream.write, (*path, "stream", "write"))
            if stream and stream.write
            else None,
            success_when=self.expression(
                (*path, "response", "success_when"), scope_of(name, "response_read")
            ),
            raw_when=self.expression((*path, "response", "raw_when"), scope_of(name, "response_raw")),
            model_field=_field(spec.model_field, "model"),
            stream_field=_field(spec.stream_field, "stream"),
            stream_default=bool(spec.stream_default),
            usage_request=dict(spec.usage_request or {}),
            max_tokens_fields=spec.max_tokens_fields or (),
            batch=spec.batch,
            check=spec.request.check,
            adjust=adjust_rules(spec.adjust, self.document, (*path, "adjust"), self.out, name),
            forward=tuple(name.lower() for name in spec.forward or ()),
            native_only=spec.native_only or (),
            wire={} if read is None else wire_fields(read, write),
            inline=None
            if spec.inline is None
            else Inline(bool(spec.inline.images), bool(spec.inline.files), spec.inline.max or INLINE_MAX),
            poll=None
            if spec.poll is None
            else lower_poll(
                spec.poll, (*path, "poll"), lambda at, escape: self.template(at, "poll", escape=escape)
            ),
        )

    def errors(self, spec: ErrorsSpec | None) -> str | None:
        """The class of failures that no rule knows; None: what their status means."""
        if spec is None:
            return None
        if spec.rules and spec.default is None:
            self.out.add(
                "E423",
                "`errors.rules` say nothing of the failures that none of them knows",
                self.document.key_span(("errors", "rules")),
                help="add `default: by_status` beside them, or a failure class",
            )
        listed = spec.types or {}
        missing = [name for name in get_args(FailureClass) if name not in listed]
        if listed and missing and "default" not in listed:
            self.out.add(
                "E423",
                f"`errors.types` have no name for {', '.join(f'`{name}`' for name in missing)}",
                self.document.key_span(("errors", "types")),
                help="list them, or add `default`, which is for all that are not listed",
            )
        for name in listed:
            known = (*get_args(FailureClass), *ABOUT_KEYS)
            if name != "default" and name not in known:
                near = did_you_mean(name, known)
                self.out.add(
                    "E424",
                    f"`{name}` is no failure class, so the entry would never be used",
                    self.document.key_span(("errors", "types", name)),
                    help=f"did you mean `{near}`?" if near else "docs/failures.md lists them",
                )
        return None if spec.default == "by_status" else spec.default

    def check(self, name: str, spec: OperationSpec, path: Path) -> None:
        """Faults between the fields of an operation."""
        if spec.request.check is not None:
            try:
                shape.bind(spec.request.check)
            except shape.ShapeError as error:
                at = (*path, "request", "check", *error.path)
                self.out.add("E408", error.message, self.document.span(at))
        self.native_only(spec, path)
        if spec.batch is not None and not form(name).batched:
            listed = ", ".join(each for each, forms in OPERATIONS.items() if forms.batched)
            self.out.add(
                "E413",
                f"`{name}` cannot be cut into calls: what it is asked is one question",
                self.document.key_span((*path, "batch")),
                help=f"leave it out; it is for {listed}",
            )
        if spec.stream is not None and name != "chat":
            self.out.add(
                "E413",
                f"`{name}` has no stream: its answer comes in one piece",
                self.document.key_span((*path, "stream")),
                help="leave it out",
            )
        readable = spec.request.read is not None and spec.response.write is not None
        if spec.ingress and not readable:
            missing = "request.read" if spec.request.read is None else "response.write"
            self.out.add(
                "E409",
                f"the format is offered to clients at {spec.ingress[0]}, and `{missing}` is not written",
                self.document.span((*path, "ingress")),
                help="write it, or leave `ingress` out: the format then serves upstreams only",
            )

    def native_only(self, spec: OperationSpec, path: Path) -> None:
        """They are names of fields that `check` knows: a typo would let such requests go anywhere."""
        check = spec.request.check
        known = (
            list(check["fields"]) if isinstance(check, dict) and isinstance(check.get("fields"), dict) else []
        )
        for number, name in enumerate(spec.native_only or ()):
            if known and first_field(name) not in known:
                near = did_you_mean(first_field(name), known)
                self.out.add(
                    "E412",
                    f"`native_only` names `{name}`, which `request.check` does not have",
                    self.document.span((*path, "native_only", number)),
                    help=f"did you mean `{near}`?"
                    if near
                    else f"list it under `request.check.fields`: {name}: any",
                )

    def templates(
        self, path: Path, scope: str, escape: Literal["text", "path", "header"] = "text"
    ) -> Mapping[str, Template]:
        found = self.at(path) or {}
        made = {name: self.template((*path, name), scope, escape=escape) for name in found}
        return {name: template for name, template in made.items() if template is not None}

    def stream_read(self, spec: StreamReadSpec, path: Path) -> StreamRead:
        options = {} if spec.options is None else spec.options.model_dump(exclude_none=True)
        for name in options:
            if name not in FRAMINGS[spec.decoder].options:
                knows = ", ".join(each for each, framing in FRAMINGS.items() if name in framing.options)
                self.out.add(
                    "E430",
                    f"the decoder `{spec.decoder}` has no option `{name}`",
                    self.document.key_span((*path, "options", name)),
                    help=f"leave it out; it belongs to `decoder: {knows}`",
                )
        return StreamRead(
            decoder=spec.decoder,
            options=options,
            sentinel=spec.sentinel,
            state=dict(spec.state or {}),
            rules=self.rules(spec.rules, (*path, "rules"), "stream_read"),
            complete=self.expression((*path, "complete"), "stream_read"),
            at_sentinel=self.template(
                (*path, "at_sentinel"),
                "stream_read",
                "list[Event]" if isinstance(spec.at_sentinel, list) else "Event",
            ),
            look_for=spec.look_for or (),
        )

    def stream_write(self, spec: StreamWriteSpec, path: Path) -> StreamWrite | None:
        error = self.template((*path, "error"), "stream_write")
        if error is None:
            return None
        return StreamWrite(
            encoder=spec.encoder,
            sentinel=spec.sentinel,
            named_events=bool(spec.named_events),
            state=dict(spec.state or {}),
            rules=self.rules(spec.rules, (*path, "rules"), "stream_write"),
            error=error,
            numbered=spec.numbered,
            ending=spec.ending,
        )

    def rules(self, specs: tuple[StreamRuleSpec, ...], path: Path, scope: str) -> tuple[Rule, ...]:
        return tuple(self.rule(spec, (*path, number), scope) for number, spec in enumerate(specs))

    def rule(self, spec: StreamRuleSpec, path: Path, scope: str) -> Rule:
        want: str | None = None
        if scope == "stream_read":
            listed = isinstance(spec.emit, list) or (isinstance(spec.emit, dict) and "$for" in spec.emit)
            want = "list[Event]" if listed else "Event"
        emit = self.template((*path, "emit"), scope, want)
        state = self.at((*path[: path.index("rules")], "state")) or {}
        for name in spec.put or {}:
            if name not in state:
                self.out.add(
                    "E410",
                    f"`{name}` is not declared under `state`",
                    self.document.key_span((*path, "set", name)),
                    help=f"declare it with its first value: state: {{{name}: ...}}",
                )
        return Rule(
            when=self.expression((*path, "when"), scope),
            put=self.templates((*path, "set"), scope),
            emit=() if emit is None else (emit,),
            error=self.template((*path, "error"), scope),
            end=bool(spec.end),
            go_on=bool(spec.go_on),
        )

    def ledger(self, operation: Operation) -> Mapping[str, str]:
        """Canonical field -> kept, renamed or dropped, by what `request.write` reads of the request."""
        writes: dict[str, list[str]] = {}
        for wire, part in parts(operation.request_write) if operation.request_write is not None else ():
            for name in sorted({each.partition(".")[0] for each in reads(part, "request")}):
                writes.setdefault(name, []).append(wire)
        return ledger.fields(writes, operation.name)
