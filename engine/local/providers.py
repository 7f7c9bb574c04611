"""Execution providers: which one a model runs on, chosen by trying.

`execution_providers: [cuda, directml, cpu]` is a wish in order. An entry is skipped at once if this platform
or the installed wheel rules it out (`rule_out`); else the worker builds the model with it and generates one
token (`open_model`), and the parent ends an attempt that hangs or crashes. The first that works is taken.
The CPU is used only when the list names it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from engine.local.errors import ModelError, did_you_mean

#: Our name -> GenAI's.
PROVIDERS = {"cpu": "cpu", "cuda": "cuda", "directml": "dml"}

DEFAULT = ("cpu",)

#: The wheels, which all install the package `onnxruntime_genai`, and what each can run on.
VARIANTS = {
    "onnxruntime-genai": frozenset({"cpu"}),
    "onnxruntime-genai-cuda": frozenset({"cpu", "cuda"}),
    "onnxruntime-genai-directml": frozenset({"cpu", "directml"}),
    "onnxruntime-genai-winml": frozenset({"cpu", "cuda", "directml"}),
}

_EXTRA = {"cuda": "local-cuda", "directml": "local-windows"}


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """The list as a tuple, `("cpu",)` for an empty one. Raises `ModelError("provider_unknown")`."""
    wanted = tuple(names)
    for name in wanted:
        if name not in PROVIDERS:
            raise ModelError(
                "provider_unknown",
                f"there is no execution provider {name!r}",
                did_you_mean(name, PROVIDERS) + "known: " + ", ".join(PROVIDERS),
            )
    return wanted or DEFAULT


def installed_variants() -> tuple[str, ...]:
    """The distributions installed here that provide `onnxruntime_genai`."""
    found = []
    for name in VARIANTS:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return tuple(found)


def check_variants(variants: Sequence[str]) -> str:
    """The one installed variant. Raises `ModelError`: `extra_missing` for none, `variants` for several."""
    if not variants:
        raise ModelError(
            "extra_missing",
            "local models need onnxruntime-genai, which is not installed here",
            'pip install "llm-runner-router[local]"',
        )
    if len(variants) > 1:
        raise ModelError(
            "variants",
            f"{' and '.join(variants)} are installed over one another: which of them runs is chance",
            f"pip uninstall -y {' '.join(variants)}, then install exactly one of the extras",
        )
    return variants[0]


def rule_out(provider: str, variant: str, platform: str = sys.platform) -> str | None:
    """Why `provider` cannot work here, as far as can be known without trying; None: try it."""
    if provider == "cuda" and platform == "darwin":
        return "there is no CUDA on macOS"
    if provider == "directml" and platform != "win32":
        return "DirectML exists on Windows only"
    if provider not in VARIANTS[variant]:
        return f'{variant} has no {provider}: install "llm-runner-router[{_EXTRA[provider]}]" instead'
    return None


def open_model(og: Any, provider: str, folder: str, threads: int | None) -> Any:
    """Builds the model on one provider and lets it say a token. Raises whatever GenAI raises.

    `og` is the imported `onnxruntime_genai`; only the worker has it.
    """
    config = og.Config(folder)
    config.clear_providers()  # no providers is the CPU
    if provider != "cpu":
        config.append_provider(PROVIDERS[provider])
    if threads:
        options = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
    model = og.Model(config)
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=4)
    trial = og.Generator(model, parameters)
    trial.append_tokens([0])
    trial.generate_next_token()
    return model
