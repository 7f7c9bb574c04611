"""What a call to one deployment is made of: worked out once, put together per call.

First `adjust`, the dialect's rules and then the provider's, on the canonical request; what they change of a
client's own body is changed at the same place there. Then, whether a body was written from the canonical
request or is the client's own: model, limit of the output, stream flag and the asking for usage, `params`
(the route's over the client's, the provider's only where nothing is said), `rename`, `drop`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.errors import RequestError
from engine.plan.code import bind_template
from engine.plan.types import Credential, Deployment
from engine.plan.vendors import Provider
from engine.upstream.auth import Shown, authenticator
from engine.upstream.output_limit import OutputLimit
from engine.upstream.params import put_over
from engine.upstream.protocol import Ask
from engine.upstream.schemes.cache import TokenCache
from engine.upstream.secrets import Secrets
from engine.version import VERSION
from engine.wire import ledger
from engine.wire.adjust import BoundAdjust, changed_fields, transplant
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect
from engine.wire.framing import FRAMINGS
from engine.wire.operations import form
from engine.wire.poll import Place
from engine.wire.target import facts_of, provider_of, target_of

#: The model of a deployment that passes on whatever name the client asked for.
ANY_MODEL: Final = "*"

Headers = tuple[tuple[str, str], ...]

USER_AGENT: Final = f"llm-runner-router/{VERSION}"


class Outbound:
    """Calls of one operation to one deployment."""

    def __init__(
        self,
        provider: Provider,
        deployment: Deployment,
        dialect: BoundDialect,
        op: str,
        secrets: Secrets,
        credential: Credential | None = None,
        tokens: TokenCache | None = None,
    ) -> None:
        self.deployment = deployment
        self.operation = operation = dialect.operation(op)
        self._dialect = dialect
        self._op = op
        self.credential = credential
        shown = credential or next(iter(deployment.credentials), None)
        #: Most inputs of one call; None: any number.
        limits = [each for each in (operation.plan.batch, provider.batch) if each is not None]
        self.batch = min(limits) if limits else None
        #: Whether media is to be put into a request before it is sent.
        self.inlines = operation.plan.inline is not None
        self._any_model = deployment.wire_model == ANY_MODEL
        self._provider = provider_of(provider)
        self._facts = facts_of(deployment.facts)
        self._target = target_of(deployment, op)
        self._auth = authenticator(provider.auth, shown, secrets, tokens or TokenCache(), self._target)
        #: Whether a call may have to wait for a token (`ready`, `prepare`), and whether it is signed.
        self.waits = self._auth.waits
        self.signs = self._auth.signs
        plan = operation.plan
        self._model_field = plan.model_field
        self._stream_field = plan.stream_field
        self._stream_default = plan.stream_default
        self._wire = plan.wire
        self._limits = plan.max_tokens_fields
        preferred = deployment.facts.max_tokens_field
        self._limit = OutputLimit(self._limits, preferred) if self._limits else None
        self._usage_request = plan.usage_request
        self._params = tuple(provider.params.items()) if op == "chat" else ()
        self._rename = tuple(provider.rename.items())
        self._drop = provider.drop
        # A provider's rules are about chats, to answer or to count.
        rules = provider.adjust if form(op).request == "Request" else ()
        quirks = BoundAdjust(rules)
        self._adjust = tuple(each for each in (operation.adjust, quirks) if each)
        # What a format cannot carry is never in a body of that same format.
        carried = BoundAdjust(each for each in plan.adjust if each.refuse is None)
        self._adjust_through = tuple(each for each in (carried, quirks) if each)
        self._quirks = bool(self._params or self._rename or self._drop)
        #: What ends a stream in the client's format, where the upstream left it out.
        self.ending = operation.stream_write.ending if operation.stream_write is not None else b""
        read = plan.stream_read
        self.stream_type = FRAMINGS["sse" if read is None else read.decoder].media_type
        own = provider.paths.get(op)
        self._paths = (operation.path, operation.stream_path) if own is None else (bind_template(own),) * 2
        self._urls = tuple(self._url(stream, deployment.wire_model) for stream in (False, True))
        #: The client names the model, and it stands in the path: each call has an address of its own.
        self._moves = self._any_model and plan.model_field is None
        self._own_headers = self._provider_headers(provider)
        self._headers = tuple(self._fixed_headers(provider, stream) for stream in (False, True))
        self._loss: Callable[[Request], tuple[str, ...]] | None = None
        self._shown: Shown | None = None
        self._ready: tuple[tuple[str, Headers], ...] = ()

    def address(self, stream: bool, ask: Ask | None = None) -> tuple[str, Headers]:
        """URL and headers with the credential in its place. Raises SecretMissing."""
        shown = self._auth.show()
        if shown is not self._shown:
            self._ready = tuple(
                (_with_query(url, shown.query), (*headers, *shown.headers))
                for url, headers in zip(self._urls, self._headers, strict=True)
            )
            self._shown = shown
        if self._moves and ask is not None:
            url = self._url(stream, self._wire_model(ask))
            return _with_query(url, shown.query), self._ready[stream][1]
        return self._ready[stream]

    @property
    def target(self) -> Mapping[str, Any]:
        """What templates read of the deployment."""
        return self._target

    def dressed(self, place: Place, accept: str) -> tuple[str, Headers]:
        """URL and headers of a further call about a job. The credential goes to the deployment's own host
        only. Raises SecretMissing.
        """
        headers = (("accept", accept), ("user-agent", USER_AGENT))
        if not place.own:
            return place.url, headers
        shown = self._auth.show()
        url = _with_query(place.url, shown.query)
        return url, self.sign(place.method, url, (*headers, *self._own_headers, *shown.headers), b"")

    def ready(self) -> bool:
        """Whether the credential is here. Asked where `waits`. Raises SecretMissing."""
        return self._auth.ready()

    async def prepare(self) -> None:
        """Get it; nothing may be awaited between this and `address`. Raises SecretMissing or AuthFailed."""
        await self._auth.prepare()

    def sign(self, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers of the finished request: with its signature, where the scheme signs."""
        return self._auth.sign(method, url, headers, body) if self.signs else headers

    def refused(self) -> None:
        """The vendor refused the credential: the next call gets a new token, where there are tokens."""
        self._auth.refused()

    def body(self, ask: Ask, stream: bool) -> tuple[dict[str, Any], tuple[str, ...], bool]:
        """The body, the fields it had to leave out, and whether it is the client's own passed through.

        Raises:
            RequestError: the format cannot carry the request, a rule refuses it, or the route allows no loss.
        """
        through = ask.body is not None and ask.dialect == self._dialect.name
        before = self._limited(ask)
        rules = self._adjust_through if through else self._adjust
        request, limit, dropped = self._adjusted(before, rules, ask, stream)
        if ask.body is not None and through:
            body = dict(ask.body)
            if dropped or ask.begun:
                names = changed_fields(before, request) if dropped else []
                if ask.begun and "messages" not in names:
                    names.append("messages")
                self._adjust_body(body, names, request, self._target_of(ask, stream, limit))
            if self._model_field is not None:
                body[self._model_field] = self._wire_model(ask)
        else:
            body = self._dialect.write_request(
                self._op, request, self._facts, self._target_of(ask, stream, limit), self._provider
            )
            dropped = (*dropped, *self._lost(request))
        if self._limit is not None:
            self._limit.set(body, limit)
        self._set_stream(body, stream)
        if ask.params:
            put_over(body, ask.params)
        if self._quirks:
            refused = self._reword(body)
            if through:  # else the ledger has told it by its canonical name
                dropped += refused
        if dropped and ask.lossless:
            lost = ", ".join(dropped)
            message = f"the route is lossless, and `{self.deployment.name}` cannot carry {lost}"
            raise RequestError(message, code="unsupported")
        return body, dropped, through

    def _lost(self, request: Request) -> tuple[str, ...]:
        """What a request loses by being written for this deployment, its vendor's quirks included."""
        if self._loss is None:
            self._loss = self._ledger()
        told = self._loss(request)
        return (*told, *ledger.extra_names(request)) if "extra" in request else told

    def _ledger(self) -> Callable[[Request], tuple[str, ...]]:
        """Found out when the first request is written: a client of the same format never needs it."""
        if self._op != "chat":
            return self.operation.dropped if self._op != "count_tokens" else lambda request: ()
        # Deferred: a sidecar whose clients speak their vendors' formats never loads the probes.
        from engine.wire.probes import REQUESTS

        return ledger.losses(ledger.lost(REQUESTS, self.written))

    def written(self, request: Any) -> dict[str, Any]:
        """What a canonical request becomes here, vendor's quirks and all.

        Raises:
            RequestError: the format, or a rule of `adjust`, refuses it.
        """
        limit = request.get("max_tokens")
        target = {**self._target, "stream": False, "max_tokens": limit, "params": {}}
        for rules in self._adjust:
            request = rules(request, self._facts, target, self._provider, [])
        target["max_tokens"] = limit = request.get("max_tokens")
        body = self._dialect.write_request(self._op, request, self._facts, target, self._provider)
        if self._limit is not None:
            self._limit.set(body, limit)
        self._reword(body)
        return body

    def _target_of(self, ask: Ask, stream: bool, limit: int | None) -> dict[str, Any]:
        """`target` as templates and rules see it for this call."""
        target = {**self._target, "stream": stream, "max_tokens": limit, "params": dict(ask.params)}
        if self._any_model:
            target["wire_model"] = self._wire_model(ask)
        return target

    def _limited(self, ask: Ask) -> Request:
        """The request as rules see it: with the limit of its output that holds here."""
        limit = ask.max_tokens
        if not self._adjust or limit is None or ask.request.get("max_tokens") == limit:
            return ask.request
        return {**ask.request, "max_tokens": limit}

    def _adjusted(
        self, request: Request, rules: tuple[BoundAdjust, ...], ask: Ask, stream: bool
    ) -> tuple[Request, int | None, tuple[str, ...]]:
        """The request and the limit of its output as `adjust` leaves them, and what it changed."""
        if not rules:
            return request, ask.max_tokens, ()
        told: list[str] = []
        target = self._target_of(ask, stream, ask.max_tokens)
        for each in rules:
            request = each(request, self._facts, target, self._provider, told)
        return request, request.get("max_tokens") if told else ask.max_tokens, tuple(dict.fromkeys(told))

    def _adjust_body(
        self, body: dict[str, Any], names: list[str], request: Request, target: Mapping[str, Any]
    ) -> None:
        """Change a client's own body where `adjust` changed the canonical request, and nowhere else."""
        if "max_tokens" in names and "max_tokens" not in request:
            for field in self._limits:
                body.pop(field, None)
        if self.operation.request_write is None:
            written: dict[str, Any] = {}
        else:
            written = self._dialect.write_request(self._op, request, self._facts, target, self._provider)
        for name in names:
            for path in self._wire.get(name, ()) if name != "max_tokens" or not self._limits else ():
                transplant(body, written, path.split("."))

    def _wire_model(self, ask: Ask) -> str:
        return ask.request["model"] if self._any_model else self.deployment.wire_model

    def shown_url(self, stream: bool, ask: Ask) -> str:
        """The URL, with `***` for a credential that stands in its query."""
        url = self._url(stream, self._wire_model(ask)) if self._moves else self._urls[stream]
        return url if self._auth.parameter is None else _with_query(url, f"{self._auth.parameter}=***")

    def forwarded(self, headers: Headers, given: Mapping[str, str]) -> Headers:
        """The headers of a call whose body passes through: with those that the format takes from clients."""
        forward = self.operation.plan.forward
        told = {name: given[name] for name in forward if name in given} if forward else None
        if not told:
            return headers
        return (*(each for each in headers if each[0] not in told), *told.items())

    def shown_headers(self, stream: bool, given: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers, with `***` for the credential. `given`: the client's, if its body passes through."""
        headers = dict(self.forwarded(self._headers[stream], given or {}))
        if self._auth.header is not None:
            headers[self._auth.header] = "***"
        return headers

    def _set_stream(self, body: dict[str, Any], stream: bool) -> None:
        field = self._stream_field
        if not stream:
            if field is not None and body.pop(field, None):
                for name in self._usage_request:
                    body.pop(name, None)
            if field is not None and self._stream_default:
                body[field] = False
            return
        if field is not None:
            body[field] = True
        for name, value in self._usage_request.items():
            given = body.get(name)
            body[name] = (
                {**given, **value} if isinstance(given, dict) and isinstance(value, Mapping) else value
            )

    def _reword(self, body: dict[str, Any]) -> tuple[str, ...]:
        for name, value in self._params:
            if name not in body:
                body[name] = value
        for old, new in self._rename:
            if old in body:
                body[new] = body.pop(old)
        lost = tuple(name for name in self._drop if name in body)
        for name in lost:
            del body[name]
        return lost

    def _url(self, stream: bool, wire_model: str) -> str:
        template: Any = self._paths[stream]
        target = {**self._target, "stream": stream, "wire_model": wire_model}
        path = "" if template is None else template(target, self._provider, {})
        return f"{self.deployment.base_url}{path}"

    def _provider_headers(self, provider: Provider) -> Headers:
        made = (
            (name, bind_template(value)(self._target, self._provider, {}))
            for name, value in provider.headers.items()
        )
        return tuple((name, str(value)) for name, value in made if value is not None)

    def _fixed_headers(self, provider: Provider, stream: bool) -> Headers:
        headers = {
            "content-type": "application/json",
            "accept": self.stream_type if stream else "application/json",
            "user-agent": USER_AGENT,
        }
        target = {**self._target, "stream": stream}
        for name, make in self.operation.headers:
            value = make(target, self._provider, {})
            if value is not None:
                headers[name] = str(value)
        return tuple({**headers, **dict(self._own_headers)}.items())


def _with_query(url: str, query: str | None) -> str:
    """The URL with a query, or with more of one."""
    return url if not query else f"{url}{'&' if '?' in url else '?'}{query}"
