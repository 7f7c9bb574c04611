"""What a server says of itself when a connection opens: who it is, and whether it is one to be asked."""

from __future__ import annotations

from typing import Any

from engine.state.redis.address import Place
from engine.state.redis.connection import Away, Connection, refusing
from engine.state.redis.patience import Patience


class Clustered(Away):
    """The server is one of a cluster's, and nobody has said which slots are its own."""


async def greet(lane: Connection, place: Place, shard: bool, patience: Patience) -> int:
    """Learn the server's run, and how long it has been up, in s. Raises Away where it is not to be asked.

    shard: whether it is known to be one of a cluster.
    """
    info, role = await lane.exchange([("INFO", "server"), ("ROLE",)], patience)
    for answer in (info, role):  # what a managed service forbids is not known, and no fault
        away = refusing(answer)
        if away is not None and "NOPERM" not in str(away):
            raise away
    if isinstance(role, list) and role and role[0] != b"master":
        raise Away(f"{place} is a replica", at_once=True)
    fields = _fields(info)
    if not shard and "cluster" in (fields.get("redis_mode"), fields.get("server_mode")):
        raise Clustered(f"{place} is one of a cluster", at_once=True)
    lane.run_id = fields.get("run_id", "")
    return int(fields.get("uptime_in_seconds", "0") or 0)


async def evicts(lane: Connection, patience: Patience) -> str | None:
    """The policy by which it throws keys away when it is full; None: it does not. Raises Away."""
    fields = _fields((await lane.exchange([("INFO", "memory")], patience))[0])
    policy = fields.get("maxmemory_policy", "noeviction")
    return None if fields.get("maxmemory", "0") == "0" or policy == "noeviction" else policy


def _fields(info: Any) -> dict[str, str]:
    """The lines of INFO."""
    if not isinstance(info, bytes):
        return {}
    pairs = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value for name, mark, value in pairs if mark}
