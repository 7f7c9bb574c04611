"""Spec to plan: routes and nodes as the executor walks them, call options as they were written.

Options that inherit stay where they are said (route, node, target); `plan/link.py` joins them, because one
named node may hang under several routes. The route's own `Call` begins with the printed defaults and the
`defaults` section, so that a plan alone says everything. Nothing is reported here but what cannot be lowered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from engine.compiler.document import Document, Path
from engine.compiler.expr import Place, Scope, answer_scope, compile_expression, fields_read
from engine.compiler.lower_concurrency import concurrency
from engine.compiler.lower_jumps import everywhere, with_jumps
from engine.diagnostics import Diagnostics
from engine.plan import narrow
from engine.plan.link import inherit
from engine.plan.types import Admit, Call, Ceilings, Match, Node, Route, Streaming
from engine.plan.values import Expr
from engine.policies import failures
from engine.spec import defaults
from engine.spec import route as written
from engine.spec.call import CallOptions
from engine.spec.nodes.node import NodeSpec
from engine.spec.workspace import Workspace

#: What applies where no file says anything.
PRINTED: Final = Call(
    connect_ms=defaults.CONNECT_MS,
    first_token_ms=defaults.FIRST_TOKEN_MS,
    idle_ms=defaults.IDLE_MS,
    total_ms=defaults.TOTAL_MS,
    whole_ms=defaults.WHOLE_MS,
    retry_extra=defaults.RETRY_EXTRA,
    retry_failures=failures.expand(failures.RETRIED),
    retry_named=failures.named(failures.RETRIED),
    retry_backoff_ms=defaults.RETRY_BACKOFF_MS,
    failures=failures.expand(failures.MOVES_ON),
)


class Lowerer:
    """What `spec.lowering.Lowering` promises to the node kinds. `places` maps a node's id to its path."""

    def __init__(
        self,
        spec: Workspace,
        document: Document,
        expressions: Mapping[Path, Expr],
        scope: Scope,
        out: Diagnostics,
        timezone: str | None = None,
        in_policies: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        self.spec = spec
        self.document = document
        self.expressions = expressions
        self.scope = scope
        self.out = out
        self.timezone = timezone
        self.in_policies = in_policies
        self.places: dict[str, Path] = {}
        self.everywhere = everywhere(spec)

    def node(self, spec: NodeSpec, path: Path) -> Node:
        """The plan's node for a child, or for a named node at `("nodes", NAME)`."""
        return spec.lower(self, path)

    def expr(self, text: str, path: Path, scope: str = "route") -> Expr | None:
        """The compiled expression; compiled now if no earlier stage did it."""
        found = self.expressions.get(path)
        if found is not None:
            return found
        named = {"route": self.scope, "answer": answer_scope(self.scope)}
        where = named.get(scope, scope)
        return compile_expression(text, place=Place(self.document, path), scope=where, out=self.out)

    def reads(self, expr: Expr) -> set[str]:
        """What the expression reads."""
        return fields_read(expr)

    def moment(self, text: str, path: Path, after: int) -> int:
        """A date and time as epoch seconds, in the workspace's time zone where it names no offset."""
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            if self.timezone is None:
                self.out.add(
                    "E233",
                    f"`{text}` names no offset, and the workspace has no time zone",
                    self.document.span(path),
                    help="add `timezone: Europe/Berlin` (or yours) to engine.yaml, or an offset: "
                    f"{text if 'T' in text else f'{text}T00:00'}+01:00",
                )
            found = found.replace(tzinfo=ZoneInfo(self.timezone) if self.timezone else UTC)
        seconds = int(found.timestamp())
        if seconds <= after:
            self.out.add(
                "E113",
                f"`{text}` is not later than the moment before it",
                self.document.span(path),
                help="put the moments in their order",
            )
        return seconds

    def call(self, spec: NodeSpec, path: Path) -> Call:
        """The options that the node itself says."""
        return options(spec) if isinstance(spec, CallOptions) else Call()

    def id(self, path: Path) -> str:
        """`("routes", "assistant", "start", "switch", 0)` is `assistant/switch[0]`."""
        section, name, *rest = path
        below = rest[1:] if section == "routes" else rest
        shared = section == "nodes" and name in self.spec.routes  # ids key counters: two must not be one
        text = f"nodes.{name}" if shared else str(name)
        for key in below:
            text += f"[{key}]" if isinstance(key, int) else f"/{key}"
        self.places[text] = path
        return text

    def is_deployment(self, name: str) -> bool:
        return name in self.spec.deployments

    # --- routes

    def route(self, name: str) -> Route:
        """The route as the plan holds it, its references not yet linked."""
        spec = self.spec.routes[name]
        path: Path = ("routes", name)
        call = PRINTED
        if self.spec.defaults is not None:
            call = inherit(call, options(self.spec.defaults))
        return Route(
            name=name,
            match=self._match(name, spec.match),
            start=with_jumps(
                self.spec, name, self.node(spec.start, (*path, "start")), self.places, self.everywhere
            ),
            call=inherit(call, options(spec)),
            admit=self._admit(spec.admit),
            per_request=self._ceilings(spec.per_request),
            stream=_streaming(spec.stream),
            residency=self._allowed(spec.residency),
            strict=spec.strict,
            reply_model=spec.reply_model,
            concurrent=concurrency(spec.concurrent),
            priority=self.expressions.get((*path, "priority")),
            fair_by=self.expressions.get((*path, "fair_by")),
            budgets=self._held("budgets", spec.budgets),
            limits=self._held("limits", spec.limits),
        )

    def _held(self, section: Literal["budgets", "limits"], own: tuple[str, ...] | None) -> tuple[str, ...]:
        """A route's own budgets or limits, and those of every floor that holds for all requests."""
        return tuple(dict.fromkeys((*(own or ()), *self.always(section))))

    def always(self, section: Literal["budgets", "limits"]) -> tuple[str, ...]:
        """The budgets or limits that the policies lay under every request."""
        floors = [floor for _, floor in sorted(self.spec.require.items()) if floor.when is None]
        return tuple(dict.fromkeys(name for floor in floors for name in getattr(floor, section) or ()))

    def _admit(self, own: written.Admit | None) -> Admit:
        """What the route lets in, within every floor that holds for all requests."""
        found = admit(own)
        for _, floor in sorted(self.spec.require.items()):
            if floor.when is None and floor.admit is not None:
                found = narrow.admit(found, admit(floor.admit))
        return found

    def _ceilings(self, own: written.PerRequest | None) -> Ceilings:
        found = ceilings(own)
        for _, floor in sorted(self.spec.require.items()):
            if floor.when is None and floor.per_request is not None:
                found = narrow.ceilings(found, ceilings(floor.per_request))
        return found

    def _allowed(self, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The route's residency within every floor of the policies; None: nobody says anything."""
        allowed = own
        for _, floor in sorted(self.spec.require.items()):
            if floor.residency is not None and floor.when is None:
                within = floor.residency if allowed is None else allowed
                allowed = tuple(zone for zone in within if zone in floor.residency)
        return allowed

    def named_node(self, name: str) -> Node:
        return self.node(self.spec.nodes[name], ("nodes", name))

    def _match(self, name: str, spec: written.Match | None) -> Match:
        if spec is None:
            return Match((name,))
        when = None if spec.when is None else self.expr(spec.when, ("routes", name, "match", "when"))
        return Match(spec.models or (name,), spec.operations, when)


def options(spec: CallOptions) -> Call:
    """What inherits, as it is said here; None where nothing is."""
    timeout, retry = spec.timeout, spec.retry
    between = timeout is not None and (timeout.first_token is not None or timeout.idle is not None)
    retried = retry.failures if retry is not None else None
    return Call(
        connect_ms=timeout.connect if timeout is not None else None,
        first_token_ms=timeout.first_token if timeout is not None else None,
        idle_ms=timeout.idle if timeout is not None else None,
        total_ms=timeout.total if timeout is not None else None,
        whole_ms=timeout.total if timeout is not None else None,
        collect=True if between else None,
        retry_extra=retry.extra if retry is not None else None,
        retry_failures=None if retried is None else failures.expand(retried),
        retry_named=None if retried is None else failures.named(retried),
        retry_backoff_ms=retry.backoff if retry is not None else None,
        failures=None if spec.failures is None else failures.expand(spec.failures),
        params=spec.params,
    )


def admit(spec: written.Admit | None) -> Admit:
    """What is let in: everything where nothing is written; else what is not named stays out."""
    if spec is None:
        return Admit()
    return Admit(
        input=spec.input,
        output=spec.output,
        n=spec.n,
        images=spec.images,
        audio=spec.audio,
        files=spec.files,
        tools=spec.tools,
        json_schema=spec.json_schema,
        hosted_tools=spec.hosted_tools,
    )


def ceilings(spec: written.PerRequest | None) -> Ceilings:
    """The limits over all attempts of a request."""
    return Ceilings() if spec is None else Ceilings(spec.calls, spec.time, spec.cost)


def _streaming(spec: written.Stream | None) -> Streaming:
    return Streaming() if spec is None else Streaming(spec.switch_until, spec.on_cut)
