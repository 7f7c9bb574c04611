"""Runs the `samples` of provider files: the request that a call would be, by the code that makes calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, cast

from engine.compiler.addresses import filled, spoken_urls
from engine.compiler.models import Models
from engine.compiler.samples import Failed, Wrong, differs, reads, run, sends
from engine.errors import RequestError
from engine.plan.types import Call, Credential, Deployment
from engine.plan.vendors import Dialect, Provider, Region
from engine.spec.provider import ProviderSample, ProviderSpec
from engine.upstream.formats import http_upstream
from engine.upstream.protocol import Ask, HttpCall, HttpReply, TransportError
from engine.upstream.secrets import Secrets
from engine.wire.canonical import Request
from engine.wire.dialect import BoundDialect
from engine.wire.formats import faces

#: A dialect by its name.
Dialects = Callable[[str], Dialect | None]


class _Offline:
    """A transport that sends nothing."""

    async def send(self, call: HttpCall) -> HttpReply:
        raise TransportError("connect", f"{call.url}: samples send nothing")

    async def close(self) -> None:
        """Nothing is open."""


def check_provider(
    spec: ProviderSpec, provider: Provider, models: Models, dialects: Dialects
) -> Iterator[Failed]:
    """The samples of a provider file that do not hold. `models`: what is known of the provider's models."""

    @cache
    def bound(name: str) -> BoundDialect:
        found = dialects(name)
        if found is None:
            raise ValueError(f"the dialect {name} is broken")
        return BoundDialect(found)

    for number, sample in enumerate(spec.samples or ()):
        yield from run(number, sample.name, partial(_check, spec, provider, models, bound, sample))


def _check(
    spec: ProviderSpec,
    provider: Provider,
    models: Models,
    bound: Callable[[str], BoundDialect],
    sample: ProviderSample,
) -> Wrong | None:
    name, op = sample.dialect or provider.dialect or "", sample.operation or "chat"
    face = next((each for each in faces(provider) if each.dialect == name), None)
    if face is not None:
        classifier = bound(name).classifier(face.errors, face.retry_after)
        found = reads(bound(name), classifier, sample, op)
        if found is not None:
            return found
    elif sample.request is None:
        return Wrong("dialect", f"{provider.name} does not speak `{name}`")
    if sample.request is None and sample.asks is None:
        return None
    return _sends(spec, provider, models, bound, sample, op)


def _sends(
    spec: ProviderSpec,
    provider: Provider,
    models: Models,
    bound: Callable[[str], BoundDialect],
    sample: ProviderSample,
    op: str,
) -> Wrong | None:
    """What goes out for a client's body, or for a canonical request."""
    client = sample.dialect or provider.dialect or ""
    read = sample.asks if sample.request is None else bound(client).read_request(op, sample.request, {})
    request = cast(Request, read)
    deployment = _deployment(spec, provider, models, sample)
    through = sample.request is not None
    stream = bool(request.get("stream"))
    ask = Ask(
        request,
        deployment,
        {},
        request.get("max_tokens") if op == "chat" else None,
        client if through else None,
        op,
        body=sample.request,
        stream=stream,
        credential=deployment.credentials[0],
    )
    upstream = http_upstream(provider, bound, _Offline(), Secrets({}))
    try:
        sent = upstream.preview(ask, stream=stream)
    except RequestError as error:
        if sample.refused is None:
            raise
        words = f"it is refused as {error.message!r}"
        return None if sample.refused == error.message else Wrong("refused", words)
    if sample.refused is not None:
        return Wrong("refused", "the request is sent, and should be refused")
    return _differs(sample, sent)


def _differs(sample: ProviderSample, sent: Mapping[str, Any]) -> Wrong | None:
    if "sends" in sample.model_fields_set:
        wrong = sends(sample.sends, sent["body"])
        if wrong is not None:
            return wrong
    if sample.url is not None and sample.url != sent["url"]:
        return Wrong("url", f"the url is {sent['url']}")
    if sample.headers is not None:
        wrong = differs("headers", {k.lower(): v for k, v in sample.headers.items()}, sent["headers"])
        if wrong is not None:
            return wrong
    if sample.dropped is not None and list(sample.dropped) != list(sent["dropped"]):
        return Wrong("dropped", f"what is dropped is {list(sent['dropped'])}")
    return None


def _deployment(spec: ProviderSpec, provider: Provider, models: Models, sample: ProviderSample) -> Deployment:
    """The deployment of a sample: settings that it does not give are their examples."""
    model = sample.model or models.first() or "model"
    region = _region(provider, sample)
    settings = {
        name: value
        for name, setting in (spec.settings or {}).items()
        if (
            value := (sample.settings or {}).get(name)
            or setting.default
            or (None if setting.optional else setting.example)
        )
        is not None
    }
    base_url = filled(region.base_url, region.name, settings)
    return Deployment(
        name="sample",
        provider=provider.name,
        model=model,
        wire_model=models.wire(model),
        region=region.name,
        base_url=base_url,
        residency=region.residency,
        credentials=(Credential("sample", provider.name, {}, {}),),
        facts=models.facts(model) or models.unlisted(model),
        call=Call(),
        settings=settings,
        urls=spoken_urls(provider, base_url, region.name, settings, endpoint=False),
    )


def _region(provider: Provider, sample: ProviderSample) -> Region:
    wanted = sample.region or provider.default_region or next(iter(provider.regions))
    if wanted not in provider.regions:
        raise ValueError(f"there is no region `{wanted}`")
    return provider.regions[wanted]
