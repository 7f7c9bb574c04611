"""Our signature against botocore's, byte for byte."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.upstream.schemes.sigv4 import AwsKeys, Signer

NOW = 1_790_000_000.5
CONVERSE = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude-3%3A0/converse"
HEADERS = (("content-type", "application/json"), ("accept", "application/json"), ("user-agent", "us"))
KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION = AwsKeys("ASIDEXAMPLE", "secret", "AQoDYXdzEJr//token==")


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=moment):
        yield


def theirs(method: str, url: str, headers: Any, body: bytes, keys: AwsKeys, service: str, region: str) -> Any:
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    SigV4Auth(Credentials(keys.access, keys.secret, keys.token), service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def same(method: str, url: str, headers: Any, body: bytes, keys: AwsKeys, service: str, region: str) -> None:
    ours = Signer(service, region).sign(method, url, headers, body, keys, NOW)
    assert dict(ours) == theirs(method, url, headers, body, keys, service, region)
    assert len(ours) == len(dict(ours))


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", CONVERSE, b'{"a": "\xc3\xa9"}'),
        ("POST", CONVERSE + "-stream", b""),
        ("GET", "https://h.example", b""),
        ("GET", "https://h.example:8443/a/./b/../c//d/", b""),
        ("GET", "http://127.0.0.1:80/%2F%2f/%7E~/a+b?b=2&a=1&a=0&c", b""),
        ("GET", "https://[::1]:443/x?x=%20+&&=", b"x"),
        ("POST", "https://H.Example/..", b""),
    ],
)
def test_byte_for_byte(method: str, url: str, body: bytes, keys: AwsKeys) -> None:
    same(method, url, HEADERS, body, keys, "bedrock", "eu-central-1")


def test_what_is_signed_again_replaces_the_first_signature() -> None:
    signer = Signer("bedrock", "eu-central-1")
    once = signer.sign("POST", CONVERSE, HEADERS, b"{}", SESSION, NOW)
    assert signer.sign("POST", CONVERSE, once, b"{}", SESSION, NOW) == once


def test_the_key_of_the_day_is_the_days() -> None:
    """A signer that signed before, with other keys and on another day, signs like a new one."""
    used = Signer("bedrock", "eu-central-1")
    for keys, now in ((KEYS, NOW - 86_400), (SESSION, NOW), (KEYS, NOW)):
        fresh = Signer("bedrock", "eu-central-1").sign("POST", CONVERSE, HEADERS, b"{}", keys, now)
        assert used.sign("POST", CONVERSE, HEADERS, b"{}", keys, now) == fresh


def test_keys_are_not_printed() -> None:
    assert "secret" not in f"{SESSION} {SESSION!r} {(SESSION,)}"


_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#&\\"), max_size=12)
_PATH = st.lists(
    st.sampled_from(["a", ".", "..", "", "%3A", "é".encode().hex(), "x y".replace(" ", "+"), "~"])
)
_NAMES = st.sampled_from(["content-type", "x-amzn-bedrock-a", "te", "x-b", "baggage", "accept", "expect"])
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@settings(max_examples=150, deadline=None)
@given(
    path=_PATH,
    query=st.lists(st.tuples(_TEXT, _TEXT), max_size=4),
    headers=st.dictionaries(_NAMES, _VALUES, max_size=5),
    body=st.binary(max_size=100),
    keys=st.sampled_from([KEYS, SESSION]),
    port=st.sampled_from(["", ":443", ":8443"]),
)
def test_any_request(
    path: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    keys: AwsKeys,
    port: str,
) -> None:
    url = f"https://host.example{port}/" + "/".join(path)
    if query:
        url += "?" + "&".join(f"{name}={value}" for name, value in query)
    same("POST", url, tuple(headers.items()), body, keys, "bedrock", "us-east-1")
