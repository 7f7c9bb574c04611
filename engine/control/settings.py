"""The settings of this process, as the compiling child hands them over: addresses, limits, how it ends.

They are no part of the plan (a revision means the same wherever it listens), so they travel beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files. clients: authorities of clients' certificates; required: each must show one."""

    certificate: str
    key: str
    clients: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """`engine.yaml` with its defaults filled in. Durations in ms, sizes in bytes, addresses as `HOST:PORT`.

    lag_ms, files, memory: from where on requests are refused early (`overload`).
    state: where counts and keys are kept, as `memory` or `sqlite:PATH`.
    admin_key: where the key is read, as `env:NAME` or `file:PATH`; never the key.
    tls: of `listen`; None: plain HTTP. trusted_proxies: ranges of addresses.
    """

    listen: str
    admin: str | None
    probes: str | None
    admin_key: str | None
    state: str
    workers: int
    body_limit: int
    drain_ms: int
    heartbeat_ms: int
    watch: bool
    lag_ms: int
    files: float
    memory: float
    idempotency_ms: int
    debounce_ms: int
    tls: TlsFiles | None
    trusted_proxies: tuple[str, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProcessSettings:
        """Read what `as_json` wrote."""
        read = {field.name: data[field.name] for field in fields(cls)}
        read["tls"] = None if read["tls"] is None else TlsFiles(**read["tls"])
        read["trusted_proxies"] = tuple(read["trusted_proxies"])
        return cls(**read)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def fixed(self) -> tuple[object, ...]:
        """What cannot change while the process runs."""
        return (self.listen, self.admin, self.probes, self.workers, self.tls, self.state)
