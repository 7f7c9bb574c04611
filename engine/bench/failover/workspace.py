"""The workspace that all sixteen scenarios run under: one set of defaults, a route each, no other setting.

The provider file describes the fake vendor's models: their prices, and which can go on from a prefill.
`quicker` shortens every wait that is written here, in proportion with the vendor's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

from engine.bench.failover.scenarios import SCENARIOS, Scenario

Mode = Literal["complete", "continue"]

MODES: Final[dict[Mode, dict[str, str]]] = {
    "complete": {"switch_until": "complete"},
    "continue": {"switch_until": "first_token", "on_cut": "continue"},
}

#: The route of a call that nothing is wrong with.
WELL: Final = "well"
_CAN: Final = ("tools", "json_schema", "stream")


def route_of(scenario: Scenario) -> str:
    return scenario.id.lower()


def models_of(scenario: Scenario) -> tuple[str, str]:
    """Our names of a scenario's two models."""
    return f"{route_of(scenario)}-primary", f"{route_of(scenario)}-fallback"


def wire_models(scenario: Scenario, mode: Mode) -> tuple[str, str]:
    """What the vendor is asked for: the script that it is to play, told apart by scenario and mode."""
    mark = f"#{scenario.id}-{mode}"
    return f"{scenario.primary}{mark}-primary", f"{scenario.fallback}{mark}-fallback"


def write(folder: Path, url: str, mode: Mode, quicker: float) -> Path:
    """Write the workspace; JSON is YAML. Returns the folder."""
    files: dict[str, Any] = {
        "engine.yaml": {
            "listen": "127.0.0.1:0",
            "state": "memory",
            "watch": False,
            "decision_log": "decisions.jsonl",
        },
        "providers.d/vendor.yaml": _vendor(url, mode),
        "routes/failover.yaml": {
            "defaults": defaults(quicker),
            "deployments": _deployments(),
            "routes": _routes(mode),
        },
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
    return folder


def defaults(quicker: float) -> dict[str, Any]:
    """The settings of all sixteen."""

    def ms(seconds: float) -> str:
        return f"{round(seconds * 1000 * quicker)}ms"

    return {
        "timeout": {"connect": ms(2), "first_token": ms(8), "idle": ms(10), "total": ms(90)},
        "retry": {"extra": 1, "backoff": ms(0.2)},
    }


def _vendor(url: str, mode: Mode) -> dict[str, Any]:
    models: dict[str, Any] = {WELL: _model("ok#well", True)}
    for scenario in SCENARIOS:
        pairs = zip(models_of(scenario), wire_models(scenario, mode), ("primary", "fallback"), strict=True)
        for name, wire, role in pairs:
            models[name] = _model(wire, role in scenario.prefill)
    return {
        "dialect": "openai_chat",
        "base_url": f"{url}/v1",
        "auth": "none",
        "residency": "on_host",
        "models": models,
    }


def _model(wire: str, prefill: bool) -> dict[str, Any]:
    prices = {"input_price": "$1/M", "output_price": "$10/M"}
    can = [*_CAN, "prefill"] if prefill else list(_CAN)
    return {"id": wire, "context": "128k", "output": "8k", **prices, "can": can}


def _deployments() -> dict[str, Any]:
    names = [WELL, *(name for scenario in SCENARIOS for name in models_of(scenario))]
    return {name: {"provider": "vendor", "model": name} for name in names}


def _routes(mode: Mode) -> dict[str, Any]:
    stream = {"stream": MODES[mode]}
    routes: dict[str, Any] = {f"route-{WELL}": {"match": {"models": [f"r-{WELL}"]}, **stream, "start": WELL}}
    for scenario in SCENARIOS:
        routes[route_of(scenario)] = {**stream, "start": {"fallback": list(models_of(scenario))}}
    return routes
