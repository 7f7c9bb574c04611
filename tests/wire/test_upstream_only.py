"""Dialects that no client speaks: what they send, by tables, and that nothing of the corpus breaks them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from engine.errors import RequestError
from engine.wire.dialect import BoundDialect


def _load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    if name not in sys.modules:
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


HERE = Path(__file__).parent
dialects = _load("dialects", HERE / "dialects.py")
corpus = _load("corpus", HERE.parent / "oracles" / "corpus.py")

TABLES = {
    path.stem: yaml.safe_load(path.read_text()) for path in sorted((HERE / "upstream_only").glob("*.yaml"))
}
ROWS = [(name, row) for name, rows in TABLES.items() for row in rows]
PROVIDER: dict[str, Any] = {"name": "own", "drop": []}


def bound(name: str) -> BoundDialect:
    return BoundDialect(dialects.shipped_dialect(name))


def target(row: dict[str, Any]) -> dict[str, Any]:
    return {"operation": "chat", "stream": False, "base_url": "https://x.example", **row["target"]}


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{name}: {row['name']}" for name, row in ROWS])
def test_what_is_sent(name: str, row: dict[str, Any]) -> None:
    dialect = bound(name)
    request = dialects.bound().read_request("chat", row["request"], {})
    assert dialect.write_request("chat", request, {}, target(row), PROVIDER) == row["sends"]
    operation = dialect.operation("chat")
    assert operation.path is not None
    if "path" in row:
        assert operation.path(target(row), PROVIDER, {}) == row["path"]
    if "headers" in row:
        made = {key: make(target(row), PROVIDER, {}) for key, make in operation.headers}
        assert {key: value for key, value in made.items() if value is not None} == row["headers"]


@pytest.mark.parametrize("request_name", corpus.names())
@pytest.mark.parametrize("name", TABLES)
def test_the_corpus_can_be_written(name: str, request_name: str) -> None:
    facts: dict[str, Any] = {}
    request = corpus.request(request_name)
    body = bound(name).write_request("chat", request, facts, target(TABLES[name][0]), PROVIDER)
    assert orjson.loads(orjson.dumps(body)) == body
    said = [
        part["text"]
        for message in request["messages"]
        if message["role"] in ("system", "user")
        for part in message.get("content", ())
        if part["type"] == "text"
    ]
    # Whatever else a format has no place for, what was said is there, byte for byte.
    told = "\0".join(_texts(body))
    assert all(text in told for text in said)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", TABLES)
def test_no_client_speaks_it(name: str) -> None:
    operation = dialects.shipped_dialect(name).operations["chat"]
    assert operation.ingress == ()
    assert operation.stream_write is None


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
FILE = {"type": "file", "file": {"file_id": "f"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}
TOOLS = [{"type": "function", "function": {"name": "f", "strict": True}}]
#: What is asked, and what each dialect says to it: the word of a refusal, or what it changes.
ADJUSTED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("files", {"content": [FILE]}, dict.fromkeys(TABLES, "no files")),
    (
        "audio",
        {"content": [AUDIO]},
        {**dict.fromkeys(TABLES, "no audio"), "dashscope": ""},
    ),
    (
        "two images",
        {"content": [IMAGE, IMAGE]},
        {**dict.fromkeys(TABLES, ""), "replicate": "one image", "dashscope": "text only"},
    ),
    (
        "several answers",
        {"n": 2},
        {**dict.fromkeys(TABLES, ""), "replicate": "one answer", "cloudflare": "one answer"},
    ),
    ("tools", {"tools": TOOLS}, {**dict.fromkeys(TABLES, "tools.strict"), "replicate": "no tools"}),
    (
        "tools of a vendor's own",
        {"tools": [{"type": "web_search"}]},
        dict.fromkeys(TABLES, "no tools"),
    ),
    (
        "a pattern",
        {"response_format": {"type": "regex", "pattern": "a"}},
        {"watsonx": "", "cloudflare": "pattern", "dashscope": "pattern", "replicate": "form"},
    ),
]


@pytest.mark.parametrize(("more", "said"), [row[1:] for row in ADJUSTED], ids=[row[0] for row in ADJUSTED])
@pytest.mark.parametrize("name", TABLES)
def test_what_it_cannot_carry_is_told(name: str, more: dict[str, Any], said: dict[str, str]) -> None:
    rest = dict(more)
    body = {"model": "m", "messages": [{"role": "user", "content": rest.pop("content", "hi")}], **rest}
    request = dialects.bound().read_request("chat", body, {})
    told: list[str] = []
    try:
        bound(name).operation("chat").adjust(request, {}, {"wire_model": "qwen-plus"}, PROVIDER, told)
    except RequestError as refused:
        told.append(refused.message)
    assert [said[name] in each for each in told] == ([True] if said[name] else [])
