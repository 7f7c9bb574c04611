"""Leaf values: what each type reads, and what it refuses with which code. No conversion in silence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from engine.keys.looks import looks_secret
from engine.plan.values import Secret
from engine.spec.address import Address, BaseUrl, Url
from engine.spec.amounts import (
    Count,
    Duration,
    Money,
    Multiplier,
    PositiveCount,
    PositiveDuration,
    Price,
    Rate,
    Ratio,
    Sample,
    Size,
)
from engine.spec.amounts import Window as WindowType
from engine.spec.call import FailureName
from engine.spec.expression import Expression
from engine.spec.fault import shown
from engine.spec.names import AllowedZone, ModelPattern, Name, Word, Zone
from engine.spec.nodes.hedge import After
from engine.spec.plain import ErrorStatus, Flag, Fraction, Moment, Natural, Positive, Text, Weight
from engine.spec.secret import SecretRef
from engine.spec.settings import StateStore, TimeZone
from engine.units import Window

READ: list[tuple[Any, Any, Any]] = [
    (Duration, "1.5s", 1500),
    (Duration, "0s", 0),
    (PositiveDuration, "5m", 300_000),
    (Size, "20MiB", 20 * 2**20),
    (Count, "30k", 30_000),
    (Count, 0, 0),
    (PositiveCount, 3, 3),
    (Money, "$0.05", 50_000_000),
    (Price, "$2/M", 2 * 10**9),
    (Ratio, "80%", 0.8),
    (Multiplier, "+10%", 1.1),
    (Rate, "200k/min", (200_000, 60_000)),
    (Sample, "20 in 30s", (20, 30_000)),
    (WindowType, "month", Window("month", None)),
    (Flag, False, False),
    (Text, "on", "on"),
    (Natural, 0, 0),
    (Weight, 3, 3.0),
    (Fraction, 0.7, 0.7),
    (Name, "gpt-4.1_mini", "gpt-4.1_mini"),
    (Word, "team_2", "team_2"),
    (AllowedZone, "on_host", "on_host"),
    (Zone, "unknown", "unknown"),
    (ModelPattern, "openai/*", "openai/*"),
    (ModelPattern, "*", "*"),
    (Expression, "request.stream", "request.stream"),
    (SecretRef, "env:A_KEY", Secret("env", "A_KEY")),
    (SecretRef, "file:/run/secrets/x", Secret("file", "/run/secrets/x")),
    (SecretRef, "vault:kv/x#key", Secret("vault", "kv/x#key")),
    (Address, "127.0.0.1:0", "127.0.0.1:0"),
    (Address, "[::1]:8080", "[::1]:8080"),
    (Url, "https://api.acme.ai/v1", "https://api.acme.ai/v1"),
    (BaseUrl, "http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
    (BaseUrl, "http://[::1]:1/v1", "http://[::1]:1/v1"),
    (BaseUrl, "http://ollama:11434", "http://ollama:11434"),
    (Moment, "2026-12-01T10:00", "2026-12-01T10:00"),
    (After, "p95", "p95"),
    (After, "800ms", 800),
    (StateStore, "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    *(
        (StateStore, text, text)
        for text in (
            "redis://valkey",
            "redis://a:1,b:2/0",
            "redis://[::1]:6379",
            "rediss://a/0?user=engine&password=env:VALKEY&ca=/etc/ca.pem",
            "redis+unix:///run/valkey.sock?db=1&password=file:/run/secrets/valkey",
        )
    ),
    (TimeZone, "Europe/Berlin", "Europe/Berlin"),
    (FailureName, "transient", "transient"),
]

REFUSED: list[tuple[Any, Any, str]] = [
    (Moment, "2026-12-07+01:00", "E102"),
    (Moment, "2026-W50-1", "E102"),
    (Moment, "2026-12-32", "E102"),
    (Duration, 30, "E103"),
    (Duration, "30", "E103"),
    (Duration, None, "E103"),
    (Duration, True, "E103"),
    (Duration, ["30s"], "E103"),
    (PositiveDuration, "0s", "E112"),
    (Count, "30K", "E103"),
    (Count, -1, "E103"),
    (PositiveCount, 0, "E112"),
    (Money, "5 EUR", "E103"),
    (Ratio, 0.8, "E103"),
    (Rate, "0/min", "E112"),
    (Flag, "yes", "E102"),
    (Flag, 1, "E102"),
    (Text, 5, "E102"),
    (Text, "  ", "E102"),
    (Text, True, "E102"),
    (Natural, -1, "E112"),
    (Natural, 1.0, "E102"),
    (Natural, True, "E102"),
    (Positive, "1", "E102"),
    (ErrorStatus, 200, "E112"),
    (Weight, 0, "E112"),
    (Weight, True, "E102"),
    (Fraction, 1.01, "E112"),
    (Fraction, "70%", "E102"),
    (Name, "a b", "E111"),
    (Name, "-a", "E111"),
    (Name, "a" * 64, "E111"),
    (Name, "", "E111"),
    (Name, 5, "E102"),
    (Name, "a\n", "E111"),
    (Word, "Team", "E111"),
    (AllowedZone, "unknown", "E104"),
    (Zone, "EU", "E102"),
    (ModelPattern, "a*b", "E111"),
    (ModelPattern, "a b", "E111"),
    (Expression, "{{ x }}", "E106"),
    (Expression, True, "E102"),
    (Expression, "", "E102"),
    (SecretRef, "sk-abc", "E105"),
    (SecretRef, "env:", "E105"),
    (SecretRef, "env:a-b", "E105"),
    (SecretRef, 5, "E102"),
    (Address, "8080", "E102"),
    (Address, "localhost", "E102"),
    (Address, ":8080", "E102"),
    (Address, "h:99999", "E112"),
    (Address, "h:8a", "E102"),
    (Url, "ftp://x", "E102"),
    (Url, "https://user@x", "E102"),
    (BaseUrl, "http://api.acme.ai/v1", "E403"),
    (BaseUrl, "http://8.8.8.8/v1", "E403"),
    (BaseUrl, "http://169.254.169.254/latest", "E403"),
    (BaseUrl, "http://0.0.0.0:1", "E403"),
    (BaseUrl, "http://[zz]/v1", "E102"),
    (BaseUrl, "https://", "E102"),
    (Moment, "tomorrow", "E102"),
    (After, "p5", "E103"),
    (StateStore, "postgres://x", "E104"),
    (StateStore, "redis://u:p@h", "E105"),
    (StateStore, "rediss://h/0?password=s3cret", "E105"),
    (StateStore, "redis://h/0?passwort=env:X", "E104"),
    (StateStore, "redis://h/0?user=a&user=b", "E104"),
    (StateStore, "redis://h:1:2/0", "E104"),
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
