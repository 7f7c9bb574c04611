"""What a plan's local models are taken from: this process's own workers, or those that another one keeps."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.local.status import Options, Status
from engine.wire.canonical import Event, Request


@dataclass(frozen=True, slots=True)
class Spec:
    """What a deployment asks for. Equal specs share a worker.

    `path`: a GenAI folder, or (provider, folder) pairs; without it `model` is a name of the store.
    """

    model: str
    path: Path | tuple[tuple[str, Path], ...] | None = None
    execution_providers: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)

    def as_json(self) -> dict[str, Any]:
        path = self.path
        return {
            "model": self.model,
            "path": [[name, str(folder)] for name, folder in path]
            if isinstance(path, tuple)
            else (None if path is None else str(path)),
            "execution_providers": list(self.execution_providers),
            "options": asdict(self.options),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Spec:
        """Read what `as_json` wrote."""
        path = data["path"]
        return cls(
            data["model"],
            tuple((name, Path(folder)) for name, folder in path)
            if isinstance(path, list)
            else (None if path is None else Path(path)),
            tuple(data["execution_providers"]),
            Options(**data["options"]),
        )


class Model(Protocol):
    """A started model."""

    @property
    def answers(self) -> bool:
        """Whether it can be asked now, as far as is known here."""
        ...

    def generate(
        self, request: Request, *, max_tokens: int, begun: bool = False
    ) -> AsyncGenerator[list[Event], None]:
        """One answer as batches of events; closing it cancels. See `LocalModel.generate`."""
        ...

    async def count(self, request: Request) -> int:
        """The exact number of prompt tokens. Raises `Refused`, `ModelError`."""
        ...


class Pool(Protocol):
    """Reference-counted models."""

    async def acquire(self, spec: Spec) -> Model:
        """The started model of `spec`. Raises `ModelError`; every success is given back by one `release`."""
        ...

    async def release(self, spec: Spec) -> None: ...

    def status(self) -> list[Status]:
        """One row a model whose worker is this process's own."""
        ...

    async def close(self) -> None: ...
