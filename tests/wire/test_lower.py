"""Provider and dialect files that are wrong: each fault has a code and a place."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.plan.vendors import RetryAfter

_spec = importlib.util.spec_from_file_location("dialects", Path(__file__).with_name("dialects.py"))
assert _spec is not None
assert _spec.loader is not None
if "dialects" not in sys.modules:
    sys.modules["dialects"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["dialects"])
dialects: Any = sys.modules["dialects"]

URL = "base_url: https://a.ai/v1\n"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (URL, "E400", 1),
        ("dialect: openai_chatt\n" + URL, "E401", 1),
        ("dialect: openai_chat\n", "E402", 1),
        ("dialect: openai_chat\n" + URL + "regions: {a: {base_url: https://b.ai}}\n", "E402", 2),
        ("dialect: openai_chat\nregions: {a: {base_url: https://b.ai}}\ndefault_region: b\n", "E404", 3),
        (
            "dialect: openai_chat\n" + URL + "auth: {aws_sigv4: {service: x, region: '${{ regoin }}'}}\n",
            "E301",
            3,
        ),
        ("dialect: openai_chat\n" + URL + "headers: {x: '${{ targt.model }}'}\n", "E301", 3),
    ],
)
def test_providers(text: str, code: str, line: int) -> None:
    provider, out = dialects.make_provider(text)
    assert provider is None
    assert [(d.code, d.span.line) for d in out] == [(code, line)]


OPERATION = """\
can: []
finish: {}
operations:
  chat:
    path: /x
"""


STREAM = "    request: {}\n    response: {}\n    stream:\n      read:\n"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("    request: {check: {typ: text}}\n    response: {}\n", "E408", 6),
        ("    ingress: [/x]\n    request: {}\n    response: {}\n", "E409", 6),
        ("    request: {read: {modle: x}}\n    response: {}\n", "E336", 6),
        (STREAM + "        options: {inner: base64-json}\n        rules: []\n", "E430", 10),
        (STREAM + "        rules:\n          - {set: {n: 1}}\n", "E410", 11),
    ],
)
def test_dialects(text: str, code: str, line: int) -> None:
    dialect, out = dialects.make_dialect(OPERATION + text)
    assert dialect is None
    assert [(d.code, d.span.line) for d in out] == [(code, line)]


def test_regions_auth_and_models_arrive_in_the_plan() -> None:
    provider, out = dialects.make_provider(
        "dialect: openai_chat\nauth: {header: {name: X-Api-Key, prefix: 'Token ', secret: env:K}}\n"
        "regions: {us: {base_url: https://a.ai/v1/, residency: us, price: +10%}}\n"
        "errors:\n  - {status: 5xx, class: overloaded}\n"
        "  - {status: [400, 402-403], header: X-Y, equals: z, class: auth}\n"
        "retry_after: [X-Wait-Ms]\n"
    )
    assert provider is not None, list(out)
    assert provider.auth.scheme == "header"
    assert provider.auth.params == {"name": "x-api-key", "prefix": "Token "}
    assert provider.regions["us"].base_url == "https://a.ai/v1"
    assert provider.default_region == "us"
    assert provider.errors[0].status == tuple(range(500, 600))
    assert provider.errors[1].status == (400, 402, 403)
    assert provider.retry_after == (RetryAfter("x-wait-ms"),)
