"""The loaded models of a process, shared between plans: the same model with the same options is one worker.

A new plan acquires what it needs before the old one releases what it had, so a reload that leaves a
model alone leaves its worker running.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

from engine.local.model import LocalModel
from engine.local.pool import Spec
from engine.local.providers import check_names
from engine.local.status import Status
from engine.local.store import ModelStore, outdated

log = logging.getLogger("engine.local")


class LocalModels:
    """Reference-counted `LocalModel`s of one event loop."""

    def __init__(self, store: ModelStore | None = None) -> None:
        self._store = store or ModelStore()
        self._models: dict[Spec, asyncio.Task[LocalModel]] = {}
        self._users: Counter[Spec] = Counter()

    async def acquire(self, spec: Spec) -> LocalModel:
        """The started model of `spec`, loaded if it is not. Raises `ModelError`; then nothing is held.

        Every success is to be given back by one `release(spec)`.
        """
        loading = self._models.get(spec)
        if loading is None:
            loading = self._models[spec] = asyncio.create_task(self._load(spec))
        self._users[spec] += 1
        try:
            return await asyncio.shield(loading)
        except BaseException:
            await self.release(spec)
            raise

    async def release(self, spec: Spec) -> None:
        """Gives one use back; the last one ends the worker."""
        self._users[spec] -= 1
        if self._users[spec] == 0:
            del self._users[spec]
            await _end(self._models.pop(spec))

    def status(self) -> list[Status]:
        """One row a loaded model."""
        done = [task for task in self._models.values() if task.done() and not task.cancelled()]
        return [task.result().status() for task in done if task.exception() is None]

    async def close(self) -> None:
        """Ends all workers, whoever uses them."""
        models, self._models = list(self._models.values()), {}
        self._users.clear()
        await asyncio.gather(*map(_end, models))

    async def _load(self, spec: Spec) -> LocalModel:
        providers = check_names(spec.execution_providers)
        if spec.path is None:
            folder = await asyncio.to_thread(self._store.find, spec.model)
            if folder.manifest is not None and outdated(folder.manifest):
                log.warning(
                    "local model %s was made by an older version of the engine: "
                    "`engine models add %s` makes it anew",
                    spec.model, spec.model,
                )  # fmt: skip
            model = LocalModel(spec.model, folder.path, providers, spec.options)
        else:
            folders = spec.path if isinstance(spec.path, Path) else dict(spec.path)
            model = LocalModel(spec.model, folders, providers, spec.options)
        await model.start()
        return model


async def _end(loading: asyncio.Task[LocalModel]) -> None:
    """Ends a model that is loaded, or stops its loading."""
    loading.cancel()
    outcome = (await asyncio.gather(loading, return_exceptions=True))[0]
    if isinstance(outcome, LocalModel):
        await outcome.stop()
