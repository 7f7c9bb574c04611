"""`/v1/models`: the names that a client may ask for, in the shape of the plan's first ingress dialect."""

from __future__ import annotations

from engine.errors import RequestError
from engine.runtime.views import Key
from engine.server.exchange import Exchange


async def send_models(exchange: Exchange) -> None:
    """Every exact name that this client may ask for; a pattern such as `openai/*` is no name."""
    if exchange.speaks is None:
        raise RequestError("this plan speaks no dialect that lists models", status=404, code="unknown_path")
    service = exchange.service
    key = service.identities.who(exchange.head, exchange.scope, exchange.snapshot)
    if not isinstance(key, Key):
        key = await key
    since = int(exchange.service.since)
    person = exchange.snapshot.person(key)
    person.check()
    names = [name for name in exchange.snapshot.matcher.names(person=person) if not name.endswith("*")]
    listed = [{"id": name, "owned_by": "engine", "created": since} for name in names]
    await exchange.json(200, exchange.speaks.write_models(listed))
