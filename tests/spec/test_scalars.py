"""Leaf values: what each type reads, and what it refuses with which code. No conversion in silence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from engine.plan.types import Secret
from engine.spec import scalars as s
from engine.spec.base_url import BaseUrl
from engine.spec.call import FailureName
from engine.spec.fault import looks_secret, shown
from engine.spec.nodes.hedge import After
from engine.spec.settings import StateStore, TimeZone
from engine.units import Window

READ: list[tuple[Any, Any, Any]] = [
    (s.Duration, "1.5s", 1500),
    (s.Duration, "0s", 0),
    (s.PositiveDuration, "5m", 300_000),
    (s.Size, "20MiB", 20 * 2**20),
    (s.Count, "30k", 30_000),
    (s.Count, 0, 0),
    (s.PositiveCount, 3, 3),
    (s.Money, "$0.05", 50_000_000),
    (s.Price, "$2/M", 2 * 10**9),
    (s.Ratio, "80%", 0.8),
    (s.Multiplier, "+10%", 1.1),
    (s.Rate, "200k/min", (200_000, 60_000)),
    (s.Sample, "20 in 30s", (20, 30_000)),
    (s.Window, "month", Window("month", None)),
    (s.Flag, False, False),
    (s.Text, "on", "on"),
    (s.Natural, 0, 0),
    (s.Weight, 3, 3.0),
    (s.Fraction, 0.7, 0.7),
    (s.Name, "gpt-4.1_mini", "gpt-4.1_mini"),
    (s.Word, "team_2", "team_2"),
    (s.AllowedZone, "on_host", "on_host"),
    (s.Zone, "unknown", "unknown"),
    (s.ModelPattern, "openai/*", "openai/*"),
    (s.ModelPattern, "*", "*"),
    (s.Expression, "request.stream", "request.stream"),
    (s.SecretRef, "env:A_KEY", Secret("env", "A_KEY")),
    (s.SecretRef, "file:/run/secrets/x", Secret("file", "/run/secrets/x")),
    (s.SecretRef, "vault:kv/x#key", Secret("vault", "kv/x#key")),
    (s.Address, "127.0.0.1:0", "127.0.0.1:0"),
    (s.Address, "[::1]:8080", "[::1]:8080"),
    (s.Url, "https://api.acme.ai/v1", "https://api.acme.ai/v1"),
    (BaseUrl, "http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
    (BaseUrl, "http://[::1]:1/v1", "http://[::1]:1/v1"),
    (BaseUrl, "http://ollama:11434", "http://ollama:11434"),
    (s.Moment, "2026-12-01T10:00", "2026-12-01T10:00"),
    (After, "p95", "p95"),
    (After, "800ms", 800),
    (StateStore, "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    (TimeZone, "Europe/Berlin", "Europe/Berlin"),
    (FailureName, "transient", "transient"),
]

REFUSED: list[tuple[Any, Any, str]] = [
    (s.Duration, 30, "E103"),
    (s.Duration, "30", "E103"),
    (s.Duration, None, "E103"),
    (s.Duration, True, "E103"),
    (s.Duration, ["30s"], "E103"),
    (s.PositiveDuration, "0s", "E112"),
    (s.Count, "30K", "E103"),
    (s.Count, -1, "E103"),
    (s.PositiveCount, 0, "E112"),
    (s.Money, "5 EUR", "E103"),
    (s.Ratio, 0.8, "E103"),
    (s.Rate, "0/min", "E112"),
    (s.Flag, "yes", "E102"),
    (s.Flag, 1, "E102"),
    (s.Text, 5, "E102"),
    (s.Text, "  ", "E102"),
    (s.Text, True, "E102"),
    (s.Natural, -1, "E112"),
    (s.Natural, 1.0, "E102"),
    (s.Natural, True, "E102"),
    (s.Positive, "1", "E102"),
    (s.ErrorStatus, 200, "E112"),
    (s.Weight, 0, "E112"),
    (s.Weight, True, "E102"),
    (s.Fraction, 1.01, "E112"),
    (s.Fraction, "70%", "E102"),
    (s.Name, "a b", "E111"),
    (s.Name, "-a", "E111"),
    (s.Name, "a" * 64, "E111"),
    (s.Name, "", "E111"),
    (s.Name, 5, "E102"),
    (s.Name, "a\n", "E111"),
    (s.Word, "Team", "E111"),
    (s.AllowedZone, "unknown", "E104"),
    (s.Zone, "EU", "E102"),
    (s.ModelPattern, "a*b", "E111"),
    (s.ModelPattern, "a b", "E111"),
    (s.Expression, "{{ x }}", "E106"),
    (s.Expression, True, "E102"),
    (s.Expression, "", "E102"),
    (s.SecretRef, "sk-abc", "E105"),
    (s.SecretRef, "env:", "E105"),
    (s.SecretRef, "env:a-b", "E105"),
    (s.SecretRef, 5, "E102"),
    (s.Address, "8080", "E102"),
    (s.Address, "localhost", "E102"),
    (s.Address, ":8080", "E102"),
    (s.Address, "h:99999", "E112"),
    (s.Address, "h:8a", "E102"),
    (s.Url, "ftp://x", "E102"),
    (s.Url, "https://user@x", "E102"),
    (BaseUrl, "http://api.acme.ai/v1", "E403"),
    (BaseUrl, "http://8.8.8.8/v1", "E403"),
    (BaseUrl, "http://169.254.169.254/latest", "E403"),
    (BaseUrl, "http://0.0.0.0:1", "E403"),
    (BaseUrl, "http://[zz]/v1", "E102"),
    (BaseUrl, "https://", "E102"),
    (s.Moment, "tomorrow", "E102"),
    (After, "p5", "E103"),
    (StateStore, "postgres://x", "E104"),
    (StateStore, "redis://u:p@h", "E105"),
    (TimeZone, "Berlin", "E104"),
    (TimeZone, "../etc/passwd", "E104"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), READ, ids=lambda v: str(v)[:40])
def test_reads(kind: Any, value: Any, expected: Any) -> None:
    assert TypeAdapter(kind).validate_python(value) == expected


@pytest.mark.parametrize(("kind", "value", "code"), REFUSED, ids=lambda v: str(v)[:40])
def test_refuses(kind: Any, value: Any, code: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(kind).validate_python(value)
    (error,) = raised.value.errors()
    assert error["ctx"]["code"] == code
    assert error["ctx"]["message"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("sk-" + "a" * 24, True),
        ("sk-proj-" + "A1" * 20, True),
        ("sk-ant-api03-" + "b" * 40, True),
        ("my key is AKIA" + "B" * 16, True),
        ("ghp_" + "c" * 36, True),
        ("AIza" + "d" * 35, True),
        ("-----BEGIN RSA PRIVATE KEY-----", True),
        ("gsk_" + "e" * 30, True),
        ("sk-short", False),
        ("task-" + "a" * 30, False),
        ("ask-me-anything-about-the-weather", False),
        ("smollm2-135m-instruct", False),
        ("AKIA", False),
        ("acme-[a-z0-9]{40}", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_what_looks_like_a_key(text: str, secret: bool) -> None:
    assert looks_secret(text) is secret
    assert (text[:40] in shown(text)) is not secret


def test_shown_is_one_short_line() -> None:
    assert shown("a\n  b") == "`a b`"
    assert len(shown("x" * 500)) < 60
    assert shown(None) == "nothing (null)"
    assert shown(True) == "`true`"
    assert shown({"a": 1}) == "a map"
