"""An upstream at a provider that speaks several formats: chosen for each call, each one an `HttpUpstream`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Mapping
from typing import Any

from engine.plan.types import Deployment
from engine.plan.vendors import Provider
from engine.upstream.headroom import HeadroomSeen
from engine.upstream.http import HttpUpstream
from engine.upstream.media import MediaFetcher
from engine.upstream.protocol import Ask, Flow, Transport, Whole
from engine.upstream.secrets import Secrets
from engine.wire.dialect import BoundDialect
from engine.wire.formats import Formats, faces, moved

#: A dialect of the plan by its name.
Dialects = Callable[[str], BoundDialect]


def http_upstream(
    provider: Provider,
    dialects: Dialects,
    transport: Transport,
    secrets: Secrets,
    media: MediaFetcher | None = None,
) -> HttpUpstream | FormatsUpstream:
    """The upstream of a provider over HTTP. media: fetches what requests name by URL, and is closed by it."""
    assert provider.dialect is not None, f"provider {provider.name} speaks no dialect"
    if not provider.speaks:
        return HttpUpstream(provider, dialects(provider.dialect), transport, secrets, media)
    return FormatsUpstream(provider, dialects, transport, secrets, media)


class FormatsUpstream:
    """An `Upstream`. The transport is shared with others and closed by whoever made it."""

    def __init__(
        self,
        provider: Provider,
        dialects: Dialects,
        transport: Transport,
        secrets: Secrets,
        media: MediaFetcher | None = None,
    ) -> None:
        self._provider = provider
        self._dialects = dialects
        self._transport = transport
        self._secrets = secrets
        self._media = media
        self._faces = faces(provider)
        self._upstreams: dict[int, HttpUpstream] = {}
        self._formats: dict[str, tuple[Deployment, Formats]] = {}
        self._moved: dict[tuple[str, int], tuple[Deployment, Deployment]] = {}
        #: What the vendor said is left of its quotas, in whatever format.
        self.headroom = HeadroomSeen(provider.headroom)

    async def whole(self, ask: Ask) -> Whole:
        """One answer in one piece. Failures come as `Whole.error`; only cancellation raises."""
        upstream, asked = self._chosen(ask)
        return await upstream.whole(asked)

    async def flow(self, ask: Ask) -> Flow | Whole:
        """Begin a stream. A failure before the first content comes as `Whole` with `error`."""
        upstream, asked = self._chosen(ask)
        return await upstream.flow(asked)

    def preview(self, ask: Ask, *, stream: bool = False) -> Mapping[str, Any]:
        """What a call would send, for people."""
        upstream, asked = self._chosen(ask)
        return upstream.preview(asked, stream=stream)

    async def close(self) -> None:
        """End what its upstreams do beside calls: tokens, jobs that are called off, fetching."""
        for upstream in self._upstreams.values():
            await upstream.close()
        if self._media is not None:
            await self._media.close()

    def forget(self, but: Container[str]) -> None:
        """A plan with these deployments runs: forget others."""
        for upstream in self._upstreams.values():
            upstream.forget(but)
        self.headroom.forget(but)
        self._formats = {name: found for name, found in self._formats.items() if name in but}
        self._moved = {key: found for key, found in self._moved.items() if key[0] in but}

    def _chosen(self, ask: Ask) -> tuple[HttpUpstream, Ask]:
        number = self._formats_of(ask.deployment).choose(ask.operation, ask.dialect, ask.request)
        upstream = self._upstreams.get(number)
        if upstream is None:
            face = self._faces[number]
            assert face.dialect is not None
            upstream = HttpUpstream(
                face, self._dialects(face.dialect), self._transport, self._secrets, self._media
            )
            upstream.headroom = self.headroom
            self._upstreams[number] = upstream
        if number == 0:
            return upstream, ask
        return upstream, dataclasses.replace(ask, deployment=self._deployment(ask.deployment, number))

    def _formats_of(self, deployment: Deployment) -> Formats:
        found = self._formats.get(deployment.name)
        if found is None or found[0] is not deployment:
            formats = Formats(self._provider, deployment, lambda name: self._dialects(name).operations)
            found = self._formats[deployment.name] = (deployment, formats)
        return found[1]

    def _deployment(self, deployment: Deployment, number: int) -> Deployment:
        """The deployment where that format is spoken; the same object each time."""
        key = (deployment.name, number)
        found = self._moved.get(key)
        if found is None or found[0] is not deployment:
            found = self._moved[key] = (deployment, moved(deployment, self._provider, number))
        return found[1]
