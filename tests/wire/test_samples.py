"""Every shipped provider and dialect file does what its own samples say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml

from engine.builtin import builtin
from engine.compiler.provider_samples import check_provider
from engine.compiler.samples import check_dialect, difference
from engine.spec.dialect import DialectSpec
from engine.spec.provider import ProviderSpec

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
dialects = sys.modules.setdefault("dialects", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(dialects)


DIALECTS = sorted(each.stem for each in Path(builtin("providers.d")).glob("dialects/*.yaml"))


@pytest.mark.parametrize("name", DIALECTS)
def test_dialect(name: str) -> None:
    spec = DialectSpec.model_validate(dialects.shipped_file("dialect", name).data)
    # One that changes another a little, has no chats, or is not for clients, has less to show.
    text = (builtin("providers.d") / "dialects" / f"{name}.yaml").read_text()
    whole = "chat" in spec.operations and bool(spec.operations["chat"].ingress) and "\nextends:" not in text
    assert len(spec.samples or ()) > (15 if whole else 4)
    assert list(check_dialect(spec, dialects.shipped_dialect(name))) == []


@pytest.mark.parametrize("name", dialects.SHIPPED)
def test_provider(name: str) -> None:
    spec = ProviderSpec.model_validate(dialects.shipped_file("provider", name).data)
    provider = dialects.shipped_provider(name)
    if provider.dialect is None:
        assert spec.samples is None
        return
    assert spec.samples, f"{name}.yaml has no samples"
    models = dialects.shipped_models(name)
    assert list(check_provider(spec, provider, models, dialects.shipped_dialect)) == []


@pytest.mark.parametrize("name", ["openai", "groq"])
def test_clouds_have_prices(name: str) -> None:
    models = dialects.shipped_models(name)
    for model in models.names():
        facts = models.facts(model)
        assert facts is not None, model
        assert facts.context or facts.can is None, model
        assert facts.prices, model
        assert facts.source, model


def test_a_wrong_sample_is_found() -> None:
    spec = DialectSpec.model_validate(
        yaml.safe_load(
            "can: []\nfinish: {}\noperations: {}\nsamples:\n"
            "  - {name: a, request: {model: m, messages: [{role: user, content: hi}]},"
            " gives: {model: other}}\n"
            "  - {name: b, request: {model: m, messages: []}, refused: model}\n"
            "  - {name: c, error: {error: {message: x}}, status: 500, gives: {failure: auth}}\n"
            "  - {name: d, request: {model: m, messages: [{role: user, content: hi}]}, refused: model}\n"
        )
    )
    failed = list(check_dialect(spec, dialects.shipped_dialect()))
    assert [f.number for f in failed] == [0, 1, 2, 3]
    assert [f.field for f in failed] == ["gives.model", "refused", "gives.failure", "refused"]
    assert failed[0].message == '`model` is "m", not "other"'


def test_difference_looks_at_named_keys() -> None:
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}], "d": 4}) is None
    assert difference({"a": [1]}, {"a": [1, 2]}) is not None
    assert difference({"a": 1}, {}) == "`a` is missing"
