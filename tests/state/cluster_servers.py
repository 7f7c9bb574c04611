"""A real cluster for tests: three primaries and a replica of the first, joined by hand."""

from __future__ import annotations

import time
from pathlib import Path

from store_server import Server, free_port

from engine.state.redis.slots import SLOTS, slot_of

PRIMARIES = 3


class Cluster:
    """Made by `start`. Which server is the primary of what may change; `owner` asks."""

    def __init__(self, folder: Path) -> None:
        self.servers: list[Server] = []
        for number in range(PRIMARIES + 1):
            more = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-config-file",
                    "nodes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "30000",
                    "--cluster-allow-replica-migration", "no")  # fmt: skip
            self.servers.append(Server(folder / str(number), None, *more))

    @property
    def address(self) -> str:
        """Two of them: the others are found."""
        return f"redis://127.0.0.1:{self.servers[0].port},127.0.0.1:{self.servers[1].port}"

    def start(self) -> Cluster:
        for server in self.servers:
            server.begin()
        for server in self.servers:
            server.answers()
        first = self.servers[0]
        for number, server in enumerate(self.servers):
            server.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < PRIMARIES:
                begin, end = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
                server.call("CLUSTER", "ADDSLOTSRANGE", begin, end)
            if number:
                server.call("CLUSTER", "MEET", "127.0.0.1", first.port, int(first.more[3]))
        until(lambda: all(self._knows_all(server) for server in self.servers))
        until(lambda: self._replicates(first.call("CLUSTER", "MYID")))
        until(lambda: all(b"cluster_state:ok" in each.call("CLUSTER", "INFO") for each in self.servers))
        self.with_replica()
        until(lambda: all(self._tells_of_a_replica(server) for server in self.servers))
        return self

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def _knows_all(self, server: Server) -> bool:
        return server.call("CLUSTER", "NODES").count(b" connected") == len(self.servers)

    def _tells_of_a_replica(self, server: Server) -> bool:
        return any(len(row) > 3 for row in server.call("CLUSTER", "SLOTS"))

    def _replicates(self, primary: bytes) -> bool:
        try:
            return self.servers[-1].call("CLUSTER", "REPLICATE", primary) == b"OK"
        except RuntimeError:
            return False  # it has not heard of it yet

    def owner(self, key: str) -> Server:
        """The primary of the slot of a key, as it says itself."""
        slot = slot_of(key)
        for server in self.servers:
            try:
                rows = server.call("CLUSTER", "SLOTS")
                mine = server.call("CLUSTER", "MYID")
            except OSError:
                continue
            if any(row[0] <= slot <= row[1] and row[2][2] == mine for row in rows):
                return server
        raise AssertionError(f"nobody serves {key}")

    def with_replica(self) -> Server:
        """The primary that has one, once it counts on it."""
        found: list[Server] = []

        def looked() -> bool:
            for server in self.servers:
                kind, _, others = server.call("ROLE")[:3]
                if kind == b"master" and others:
                    found.append(server)
            return bool(found)

        until(looked)
        return found[0]

    def flush(self) -> None:
        for server in self.servers:
            if server.call("ROLE")[0] == b"master":
                server.call("FLUSHALL")

    def begin_move(self, key: str, to: Server) -> None:
        """Its slot is on the move from here on."""
        slot, source = slot_of(key), self.owner(key)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.call("CLUSTER", "MYID"))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.call("CLUSTER", "MYID"))

    def end_move(self, key: str, to: Server) -> None:
        """All keys go there, and the slot is its."""
        slot, source = slot_of(key), self.owner(key)
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "KEYS", *keys)
        for server in (to, source, *self.servers):
            if server.call("ROLE")[0] == b"master":
                server.call("CLUSTER", "SETSLOT", slot, "NODE", to.call("CLUSTER", "MYID"))


def until(there: object, seconds: float = 20.0) -> None:
    assert callable(there)
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.01)
