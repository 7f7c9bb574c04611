"""Starting models and asking them, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.local.model import LocalModel
from engine.local.status import Options

Starter = Callable[..., Awaitable[LocalModel]]


@pytest.fixture
async def started() -> AsyncIterator[Starter]:
    """`await started(folder, **options)`: a loaded model, stopped when the test ends."""
    models: list[LocalModel] = []

    async def start(folder: Path, providers: tuple[str, ...] = ("cpu",), **options: Any) -> LocalModel:
        model = LocalModel(folder.name, folder, providers, Options(**options))
        models.append(model)
        await model.start()
        return model

    yield start
    for model in models:
        await model.stop()
