"""`strict: lossless`: no target of the route loses what the route admits by name, whoever's client asks.

The ledger of each target is drawn up for every format that a client of the route may speak. A part of the
request that `admit` can keep out (tools, a JSON schema, images, audio, files, several answers) must get there
from all of them; small fields (`seed`, `logit_bias`) have no such word, so at run time a target that would
lose one is passed over as `unsupported`, and nothing is lost in silence either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import disjoint
from engine.compiler.expressions import own_condition
from engine.compiler.ledgers import pair
from engine.diagnostics import Related
from engine.kinds.outline import answering
from engine.kinds.use import Use
from engine.plan.types import Admit, Deployment, Route
from engine.plan.vendors import Provider
from engine.upstream.outbound import Outbound
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect
from engine.wire.ledger import lost
from engine.wire.probes import REQUESTS

#: What of a request goes with which word of `admit`; what none is for is in every conversation.
_WORDS: Final = (
    ("tools", ("tools", "messages.tool_call", "messages.tool_result", "tool_choice")),
    ("json_schema", ("response_format.json_schema",)),
    ("images", ("messages.image.url", "messages.image.data")),
    ("audio", ("messages.audio",)),
    ("files", ("messages.file.data",)),
    ("n", ("n",)),
    ("", ("messages.system", "messages.developer")),
)
#: How `admit` says that none of it comes in.
_NONE: Final = {"tools": "false", "json_schema": "false", "images": "0", "audio": "0", "files": "0", "n": "1"}
#: Beside what it belongs to, losing these loses no ability.
_SMALL: Final = frozenset(
    {"tools.strict", "tools.cache", "tools.hosted", "tools.description", "messages.tool_call.id",
     "messages.tool_result.image", "messages.tool_result.is_error"}
)  # fmt: skip


def check(subject: Subject) -> None:
    for name, spec in sorted(subject.spec.routes.items()):
        if spec.strict is None:
            continue
        route = subject.linked(name)
        for node in answering(route.start):
            if isinstance(node, Use):
                _target(subject, name, route, node)


def _target(subject: Subject, name: str, route: Route, node: Use) -> None:
    deployment = subject.lowered.deployments[node.deployment]
    provider = subject.lowered.providers.get(deployment.provider)
    spoken = None if provider is None or provider.dialect is None else _bound(subject, provider.dialect)
    if provider is None or spoken is None:  # local: what its model cannot do is refused there, never dropped
        return
    for client in _clients(subject, route):
        for field, names in _lost(client, spoken, provider, deployment, route.admit):
            which = ", ".join(f"`{each}`" for each in names)
            subject.out.add(
                "E249",
                f"`{node.deployment}` loses {which} of requests in {client.name}, and the route `{name}` is "
                "lossless",
                subject.place(node),
                help=(f"keep them out with `admit: {{{field}: {_NONE[field]}}}`, or " if field else "")
                + "take another target, or only clients whose format loses nothing there: `match: {when: "
                'request.dialect == "..."}`',
                related=[Related("said here", subject.document.span(("routes", name, "strict")))],
            )


def _lost(
    client: BoundDialect, spoken: BoundDialect, provider: Provider, deployment: Deployment, admit: Admit
) -> Iterator[tuple[str, list[str]]]:
    """Words of `admit` whose requests lose something, with what they lose."""
    outbound = Outbound(provider, deployment, spoken, "chat", Secrets({}))
    gone = {probe.name for probe in lost(REQUESTS, outbound.written)}
    told = set(pair(client, client).request)  # what this client's format can say
    for word, prefixes in _WORDS:
        if word and not _admitted(admit, word):
            continue
        names = sorted(
            name
            for name in gone & told - _SMALL
            if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)
        )
        if names:
            yield word, names


def _admitted(admit: Admit, word: str) -> bool:
    """Whether requests with it come in: what is not limited may come."""
    found = getattr(admit, word)
    return found > 1 if word == "n" else found is None or bool(found)


def _clients(subject: Subject, route: Route) -> Iterator[BoundDialect]:
    """The formats that clients of the route may speak."""
    when = route.match.when
    for name in sorted(subject.lowered.dialects):
        dialect = subject.lowered.dialects[name]
        chat = dialect.operations.get("chat")
        if chat is None or not chat.ingress:
            continue
        if when is not None and disjoint(when, own_condition(f'request.dialect == "{name}"')):
            continue
        found = _bound(subject, name)
        if found is not None:
            yield found


def _bound(subject: Subject, name: str) -> BoundDialect | None:
    dialect = subject.lowered.dialects.get(name)
    return None if dialect is None else BoundDialect(dialect)
