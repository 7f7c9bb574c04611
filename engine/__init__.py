"""LLM Runner Router: a declarative routing engine for language models.

    from engine import Engine

    async with Engine.open("workspace") as engine:
        reply = await engine.chat(model="assistant", messages=[{"role": "user", "content": "hi"}])

The names are loaded when they are first used, so that `import engine` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.compiler.pipeline import compile_workspace
    from engine.diagnostics import Diagnostic
    from engine.embed import Engine
    from engine.errors import PlanError
    from engine.plan.plan import Plan

__all__ = ["Diagnostic", "Engine", "Plan", "PlanError", "compile_workspace"]

_HOMES = {
    "Diagnostic": "engine.diagnostics",
    "Engine": "engine.embed",
    "Plan": "engine.plan.plan",
    "PlanError": "engine.errors",
    "compile_workspace": "engine.compiler.pipeline",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    # Deferred: pydantic and the compiler alone take a quarter of a second.
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
