"""Client keys, groups and policies' requirements as the plan's `People`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.compiler.document import Path
from engine.compiler.lower import Lowerer, admit, ceilings
from engine.compiler.lower_outsiders import certificates, issuers
from engine.plan.people import Client, Floor, Group, People, Tag
from engine.plan.values import Expr, Secret
from engine.spec.keys import Keys
from engine.spec.require import Require

_NO_KEYS = Keys()


def people(low: Lowerer, secret: Secret | None) -> People:
    """What a workspace says of who asks. `secret`: where the secret of the keys' hashes is read."""
    keys = low.spec.keys or _NO_KEYS
    tags = {name: Tag(tag.values, tag.required) for name, tag in sorted((keys.tags or {}).items())}
    return People(
        clients=tuple(_client(low, keys, name) for name in sorted(keys.clients or {})),
        groups=tuple(_group(low, name) for name in sorted(low.spec.groups)),
        floors=tuple(_floors(low)),
        orgs=keys.orgs,
        tags=tags,
        must=_must(low, tags),
        secret=secret,
        issuers=tuple(issuers(keys)),
        certificates=tuple(certificates(keys)),
    )


def _client(low: Lowerer, keys: Keys, name: str) -> Client:
    spec, path = (keys.clients or {})[name], ("keys", "clients", name)
    return Client(
        name=name,
        digests=tuple(each.partition(":")[2] for each in spec.hash),
        org=spec.org or "",
        tags=dict(sorted((spec.tags or {}).items())),
        groups=spec.groups or (),
        models=spec.models,
        limits=spec.limits or (),
        budgets=spec.budgets or (),
        expires=None if spec.expires is None else low.moment(spec.expires, (*path, "expires"), 0),
        ips=spec.ips or (),
    )


def _group(low: Lowerer, name: str) -> Group:
    spec = low.spec.groups[name]
    return Group(
        name=name,
        when=_when(low, ("groups", name, "when")),
        models=spec.models,
        limits=spec.limits or (),
        budgets=spec.budgets or (),
        residency=spec.residency,
        ips=spec.ips or (),
    )


def _floors(low: Lowerer) -> Iterator[Floor]:
    """What routes do not hold already: those without `when` are lowered into every route."""
    for name, spec in sorted(low.spec.require.items()):
        if spec.when is not None:
            yield _floor(low, name, spec)
        elif spec.models is not None or spec.credentials is not None:
            yield Floor(name, models=spec.models, **_shown(spec))


def _shown(spec: Require) -> Any:
    listed = spec.credentials if isinstance(spec.credentials, tuple) else None
    return {"credentials": listed, "explicit": spec.credentials == "explicit"}


def _floor(low: Lowerer, name: str, spec: Require) -> Floor:
    return Floor(
        name=name,
        when=_when(low, ("require", name, "when")),
        models=spec.models,
        residency=spec.residency,
        budgets=spec.budgets or (),
        limits=spec.limits or (),
        admit=None if spec.admit is None else admit(spec.admit),
        per_request=None if spec.per_request is None else ceilings(spec.per_request),
        **_shown(spec),
    )


def _when(low: Lowerer, path: Path) -> Expr | None:
    return low.expressions.get(path)


def _must(low: Lowerer, tags: dict[str, Tag]) -> tuple[str, ...]:
    """The required tags that a condition of a policy or of a credential reads."""
    asked: set[str] = set()
    for path, expr in low.expressions.items():
        if (path[0], path[-1]) in (("require", "when"), ("credentials", "only")):
            asked |= {name.split(".", 2)[2] for name in low.reads(expr) if name.startswith("key.tags.")}
    return tuple(sorted(name for name in asked if name in tags and tags[name].required))
