"""What each attempt of an explained request would send, offline: the exact HTTP request, its secrets masked.

The bodies come from the very code that sends them (`HttpUpstream.preview`), with no transport behind it and
no secret read. A local model is sent nothing: what its worker would be told is summed up instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from engine.errors import RequestError
from engine.local.request import KEPT, Refused, dropped, to_generate, with_params
from engine.plan.vendors import Provider
from engine.runtime.snapshot import Snapshot
from engine.upstream.formats import http_upstream
from engine.upstream.protocol import Ask, HttpCall, HttpReply, TransportError
from engine.upstream.secrets import Secrets
from engine.wire.canonical import Error
from engine.wire.failures import below_http


class _Previews(Protocol):
    def preview(self, ask: Ask, *, stream: bool = False) -> Mapping[str, Any]: ...


class _Offline:
    """A transport that sends nothing."""

    async def send(self, call: HttpCall) -> HttpReply:
        raise TransportError("connect", f"{call.url}: nothing is sent while a request is explained")

    async def close(self) -> None:
        """Nothing is open."""


def wire_requests(snapshot: Snapshot, asks: Sequence[Ask]) -> list[dict[str, Any]]:
    """One JSON-able object an attempt, in their order.

    Each has `attempt`, `deployment`, and one of: `method`, `url`, `headers`, `body`, `dropped` (fields that
    the format could not carry) and `passthrough` (the body is the client's own, changed only where the plan
    says), also `calls` where it takes several, of which this is the first; `local`, the canonical
    request in short; `refused`, why nothing would be sent.
    """
    previews = Previews(snapshot)
    return [
        {"attempt": number, "deployment": ask.deployment.name, **previews.sent(ask)}
        for number, ask in enumerate(asks, start=1)
    ]


class Previews:
    """What the calls of a snapshot would send."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._upstreams: dict[str, _Previews] = {}

    def sent(self, ask: Ask) -> dict[str, Any]:
        """What is sent for an attempt, as `wire_requests` tells it."""
        provider = self._snapshot.plan.provider(ask.deployment.provider)
        if provider.name not in self._upstreams:
            self._upstreams[provider.name] = _previews(self._snapshot, provider)
        try:
            return dict(self._upstreams[provider.name].preview(ask, stream=ask.stream))
        except RequestError as error:
            return {"refused": error.message}
        except Refused as refusal:
            return {"refused": refusal.message}

    def refuses(self, ask: Ask) -> Error | None:
        """The failure of an attempt for which nothing would be sent."""
        why = self.sent(ask).get("refused")
        return None if why is None else below_http("unsupported", why)


def _previews(snapshot: Snapshot, provider: Provider) -> _Previews:
    if provider.dialect is None:
        return _Local()
    return http_upstream(provider, snapshot.dialect, _Offline(), Secrets({}))


class _Local:
    """The same for a local model, which gets the canonical request and no HTTP."""

    def preview(self, ask: Ask, *, stream: bool = False) -> dict[str, Any]:
        request = with_params(ask.request, ask.params)
        most = ask.max_tokens or request.get("max_tokens")
        to_generate(request, max_tokens=most or 1)  # refuses what the worker would
        messages = [
            {"role": message.get("role"), "parts": [part.get("type") for part in message.get("content", ())]}
            for message in request.get("messages", ())
        ]
        shown = ("operation", "model", "messages", "max_tokens", "stream", "include_usage")
        return {
            "local": {
                "model": ask.deployment.wire_model,
                "messages": messages,
                "max_tokens": most,  # None: as long as the model's context lasts
                **{name: request.get(name) for name in sorted(request.keys() & KEPT - set(shown))},
            },
            "dropped": list(dropped(request)),
        }


def wire_text(requests: Sequence[dict[str, Any]]) -> list[str]:
    """The same as lines for people; what is sent again unchanged is told in one."""
    if not requests:
        return []
    lines = ["", "Requests, as they would be sent"]
    seen: dict[str, int] = {}
    for each in requests:
        number, deployment = each["attempt"], each["deployment"]
        sent = {name: value for name, value in each.items() if name != "attempt"}
        text = json.dumps(sent, sort_keys=True)
        if text in seen:
            lines.append(f"  {number}. {deployment}: the same as {seen[text]}")
            continue
        seen[text] = number
        lines += [f"  {number}. {deployment}: {_what(sent)}", *(f"     {line}" for line in _lines(sent))]
    return lines


def _what(sent: dict[str, Any]) -> str:
    if "refused" in sent:
        return f"nothing is sent: {sent['refused']}"
    if "local" in sent:
        return "to the local model's worker"
    how = ", the client's own body" if sent["passthrough"] else ""
    if "calls" in sent:
        how += f", the first of {sent['calls']} calls"
    return f"{sent['method']} {sent['url']} ({sent['dialect']}{how})"


def _lines(sent: dict[str, Any]) -> Iterator[str]:
    if "refused" in sent:
        return
    for name, value in sent.get("headers", {}).items():
        yield f"{name}: {value}"
    if sent["dropped"]:
        yield f"left out, because it cannot be carried: {', '.join(sent['dropped'])}"
    yield from json.dumps(sent.get("body", sent.get("local")), indent=2, ensure_ascii=False).splitlines()
