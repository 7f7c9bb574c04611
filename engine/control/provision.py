"""A plan bound to this process: upstreams over a transport, local models loaded.

What the previous snapshot has and the new plan still needs is taken over, so that a reload costs what the
edit was. A local model that is not on this machine does not fail a plan: its deployment is marked missing,
requests go to their next target, and `Snapshot.missing` says what to do. Secrets are read at each call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.control import slices
from engine.plan.codec import canonical, digest
from engine.plan.plan import Plan
from engine.plan.types import Deployment
from engine.runtime.match import Matcher
from engine.runtime.shared import Shared
from engine.runtime.snapshot import Snapshot
from engine.upstream.choice import default_transport
from engine.upstream.protocol import Transport, Upstream
from engine.wire.formats import faces

if TYPE_CHECKING:
    from engine.local.pool import Pool, Spec

log = logging.getLogger("engine.control")

#: The provider that runs models in workers of this process.
LOCAL = "onnx"


async def provision(
    plan: Plan,
    *,
    root: Path | None = None,
    transport: Transport | None = None,
    local: Pool | None = None,
    previous: Snapshot | None = None,
    env: Mapping[str, str] | None = None,
) -> Snapshot:
    """Bind a plan to upstreams. The snapshot is closed by `drain` or `close`.

    Args:
        plan: what to run.
        root: the workspace's folder, which relative model paths start from; default: the current one.
        transport: sends HTTP calls and stays the caller's; default: one of the engine's own.
        local: the pool of local models, kept over reloads by the caller; default: one of its own.
        previous: the snapshot that this one will replace.
        env: the environment that `env:` secrets are read from; default: the process's own.
    """
    matcher = Matcher()
    await slices.run(matcher.take(plan.manifest.matches))
    own = None if transport is not None or not _speaks_http(plan) else _own_transport(previous)
    snapshot = Snapshot(plan, {}, transport=own, matcher=matcher)
    try:
        if previous is not None:
            await slices.run(snapshot.adopt(previous))
        for name in plan.manifest.providers:
            await asyncio.sleep(0)
            if name == LOCAL:
                await _add_local(snapshot, root or Path.cwd(), local, previous)
            else:
                sends = transport if own is None else own.value
                assert sends is not None
                _add_http(snapshot, name, sends, previous, env)
    except BaseException:
        await snapshot.close()
        raise
    return snapshot


def _speaks_http(plan: Plan) -> bool:
    return any(name != LOCAL for name in plan.manifest.providers)


def _own_transport(previous: Snapshot | None) -> Shared[Transport]:
    if previous is not None and previous.transport is not None:
        return previous.transport.hold()
    made: Shared[Transport] = Shared(default_transport())
    return made.hold()


def _add_http(
    snapshot: Snapshot,
    name: str,
    transport: Transport,
    previous: Snapshot | None,
    env: Mapping[str, str] | None,
) -> None:
    """One vendor's upstream: the previous snapshot's, where provider and dialect are the same."""
    # Deferred: a plan with local models only does not pay for TLS and sockets at start-up.
    from engine.upstream.formats import http_upstream
    from engine.upstream.media import MediaFetcher
    from engine.upstream.secrets import Secrets

    plan = snapshot.plan
    provider = plan.provider(name)
    spoken = sorted({dialect for face in faces(provider) if (dialect := face.dialect) is not None})
    formats = "/".join(plan.manifest.dialects[dialect] for dialect in spoken)
    fetch = plan.manifest.settings.media
    key = f"{fetch}/{plan.manifest.providers[name]}/{formats}/{id(transport)}"
    kept = None if previous is None else previous.upstreams.get(name)
    if kept is None or kept.key != key:
        media = None if fetch is None else MediaFetcher(fetch)
        # Not the snapshot's own `dialect`: an upstream outlives the snapshot that it was made for.
        bound = {dialect: snapshot.dialects[dialect] for dialect in spoken}
        upstream: Upstream = http_upstream(
            provider, lambda name: bound[name].bound, transport, Secrets(env), media
        )
        kept = Shared(upstream, key)
    snapshot.upstreams[name] = kept.hold()


# --- local models ---------------------------------------------------------------------------------------


async def _add_local(snapshot: Snapshot, root: Path, pool: Pool | None, previous: Snapshot | None) -> None:
    """Load the plan's local models, all at once; those that cannot be had are told as missing."""
    # Deferred: only a plan with local models needs them.
    from engine.local.errors import ModelError
    from engine.local.models import LocalModels
    from engine.local.upstream import Loaded, LocalUpstream

    plan = snapshot.plan
    names = sorted(name for name, provider in plan.manifest.deployments.items() if provider == LOCAL)
    specs = {name: _spec(plan.deployment(name), root) for name in names}
    key = digest(canonical({name: repr(spec) for name, spec in specs.items()}))
    kept = None if previous is None else previous.upstreams.get(LOCAL)
    if previous is not None and kept is not None and kept.key == key and not previous.missing.keys() & specs:
        snapshot.upstreams[LOCAL] = kept.hold()
        return
    models: Pool = pool or LocalModels()
    found = await asyncio.gather(*(models.acquire(spec) for spec in specs.values()), return_exceptions=True)
    loaded = {}
    faults: list[BaseException] = []
    for (name, spec), model in zip(specs.items(), found, strict=True):
        if isinstance(model, ModelError):
            snapshot.missing[name] = _why(model)
            log.warning("deployment %s: %s", name, snapshot.missing[name])
        elif isinstance(model, BaseException):
            faults.append(model)
        else:
            loaded[name] = Loaded(spec, model)
    made: Shared[Upstream] = Shared(LocalUpstream(models, loaded), key)
    snapshot.upstreams[LOCAL] = made.hold()
    if faults:
        raise faults[0]


def _why(error: Any) -> str:
    return f"{error.message} ({error.help})" if error.help else str(error.message)


def _spec(deployment: Deployment, root: Path) -> Spec:
    from engine.local.pool import Spec  # deferred like the rest of local/
    from engine.local.status import Options

    options = deployment.options or {}
    path = options.get("path")
    return Spec(
        model=deployment.wire_model,
        path=None if path is None else root / Path(path).expanduser(),
        execution_providers=tuple(options.get("execution_providers", ())),
        options=Options(threads=options.get("threads")),
    )
