"""Which of its formats a deployment is spoken to in, request by request, and what its provider is there.

A *face* is a provider as one format sees it: number 0 is the file's own `dialect`, the others are `speaks` in
order. First counts a face whose `when` holds, then the format that the model's facts ask for, then the
client's own where the provider speaks it (its body can pass through), then number 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from engine.plan.code import bind_expr
from engine.plan.types import Deployment
from engine.plan.vendors import Provider, Spoken
from engine.wire.canonical import Request
from engine.wire.target import facts_of, provider_of, target_of

#: The operations of a dialect by its name, as the plan has it.
Operations = Callable[[str], frozenset[str]]


def faces(provider: Provider) -> tuple[Provider, ...]:
    """The provider once for each of its formats; the local one, which has none, is itself."""
    return (dataclasses.replace(provider, speaks=()), *(_face(provider, each) for each in provider.speaks))


def _face(provider: Provider, spoken: Spoken) -> Provider:
    return dataclasses.replace(
        provider,
        dialect=spoken.dialect,
        headers={**provider.headers, **spoken.headers},
        auth=spoken.auth or provider.auth,
        paths=spoken.paths,
        rename=spoken.rename,
        drop=spoken.drop,
        takes=spoken.takes,
        params=spoken.params,
        adjust=provider.adjust if spoken.adjust is None else spoken.adjust,
        errors=(*spoken.errors, *provider.errors),
        speaks=(),
    )


def moved(deployment: Deployment, provider: Provider, number: int) -> Deployment:
    """The deployment where face `number` (not 0) is spoken: its address there, and its facts without the name
    of a field that only the provider's own format has.
    """
    url = deployment.urls[number - 1]
    assert url is not None, f"{deployment.name} does not speak format {number}"
    facts = deployment.facts
    if provider.speaks[number - 1].dialect != provider.dialect:
        facts = dataclasses.replace(facts, max_tokens_field=None)
    return dataclasses.replace(deployment, base_url=url, facts=facts)


class Formats:
    """The faces that one deployment has, and the choice among them."""

    def __init__(self, provider: Provider, deployment: Deployment, operations: Operations) -> None:
        self._deployment = deployment
        self._provider = provider_of(provider)
        self._facts = facts_of(deployment.facts)
        self._targets: dict[str, Mapping[str, Any]] = {}
        own = [] if provider.dialect is None else [(0, provider.dialect, None)]
        urls = deployment.urls or (None,) * len(provider.speaks)
        self._faces = [
            *own,
            *(
                (number, each.dialect, bind_expr(each.when) if each.when is not None else None)
                for number, (each, url) in enumerate(zip(provider.speaks, urls, strict=True), start=1)
                if url is not None
            ),
        ]
        self._serves = (
            {number: operations(dialect) for number, dialect, _ in self._faces}
            if len(self._faces) > 1
            else {}
        )
        #: The numbers of the faces that this deployment has.
        self.numbers = tuple(number for number, _, _ in self._faces)

    def choose(self, op: str, client: str | None, request: Request) -> int:
        """The number of the face. `client`: the client's dialect, None where it has none."""
        if len(self._faces) < 2:
            return 0
        able = [face for face in self._faces if op in self._serves[face[0]]]
        target = self._targets.get(op)
        if target is None:
            target = self._targets[op] = target_of(self._deployment, op)
        for number, _, when in able:
            if when is not None and when(request, self._facts, target, self._provider):
                return number
        free = {dialect: number for number, dialect, when in reversed(able) if when is None}
        wanted = self._deployment.facts.dialect
        for dialect in (wanted, client):
            if dialect is not None and dialect in free:
                return free[dialect]
        return able[0][0] if able and able[0][2] is None else next(iter(free.values()), 0)
