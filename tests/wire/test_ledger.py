"""The ledger says what the templates do: found out by asking them, for every pair of formats."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from dialects import shipped_dialect, shipped_names

from engine.compiler.ledgers import Pair, pair
from engine.wire.dialect import BoundDialect
from engine.wire.ledger import entries, losses, lost
from engine.wire.probes import REPLIES, REQUESTS, Probe


@cache
def bound(name: str) -> BoundDialect:
    return BoundDialect(shipped_dialect(name))


def chats(name: str) -> bool:
    return "chat" in shipped_dialect(name).operations


def is_client(name: str) -> bool:
    return chats(name) and bool(shipped_dialect(name).operations["chat"].ingress)


CLIENTS = [name for name in shipped_names() if is_client(name)]
UPSTREAMS = [name for name in shipped_names() if chats(name)]


@pytest.mark.parametrize("probe", [*REQUESTS, *REPLIES], ids=lambda probe: probe.name)
def test_a_probe_holds_what_it_is_for(probe: Probe) -> None:
    assert probe.find(probe.value) is not None
    assert probe.find(probe.value) != probe.find(probe.without)
    assert probe.holds(probe.value)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_no_pair_loses_the_words_of_a_conversation(client: str, upstream: str) -> None:
    found = pair(bound(client), bound(upstream))
    carried = {"kept", "renamed", "approximated", "synthesised"}
    for name in ("messages.system", "max_tokens"):
        assert found.request.get(name, "kept") in carried | {"refused"}, (name, found.request[name])
    words = ["text", "usage.input_tokens", "usage.output_tokens", "finish_reason.length"]
    if "tools" in shipped_dialect(client).can:
        words.append("tool_call")
    for column in (found.reply, found.stream):
        for name in words:
            assert column.get(name, "kept") in carried, (name, column[name])


@pytest.mark.parametrize("name", CLIENTS)
def test_one_format_on_both_sides_keeps_all(name: str) -> None:
    found = pair(bound(name), bound(name))
    assert {*found.request.values(), *found.reply.values(), *found.stream.values()} == {"kept"}


def anthropic() -> Pair:
    return pair(bound("openai_chat"), bound("anthropic_messages"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("temperature", "kept"),
        ("stop", "renamed"),
        ("messages.developer", "approximated"),
        ("seed", "dropped"),
        ("logit_bias", "dropped"),
    ],
)
def test_a_field_between_two_formats(name: str, what: str) -> None:
    assert anthropic().request[name] == what


def test_a_field_that_no_client_can_say_is_not_told() -> None:
    assert "top_k" in pair(bound("anthropic_messages"), bound("openai_chat")).request
    assert "messages.audio" not in pair(bound("anthropic_messages"), bound("openai_chat")).request


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], **more}


def test_what_a_request_loses_is_named_once() -> None:
    dropped = losses(
        tuple(p for p in REQUESTS if p.name in ("tools", "tools.strict", "seed", "n", "messages.cache"))
    )
    tool = {"name": "f", "strict": True}
    assert dropped(asked(tools=[tool], seed=1)) == ("seed", "tools")
    assert dropped(asked(n=1)) == ()
    assert dropped(asked(n=2)) == ("n",)
    cached = {"role": "user", "content": [{"type": "text", "text": "hi", "cache": {"ttl": "5m"}}]}
    assert dropped(asked(messages=[cached])) == ("messages.cache",)


def test_a_dialect_cannot_lie_about_itself() -> None:
    """A template that reads a field and does nothing with it loses it all the same."""

    def write(request: Any) -> Any:
        return {"model": "m", "n": request.get("messages") and None}

    assert {probe.name for probe in lost(REQUESTS, write)} == {probe.name for probe in REQUESTS}
    assert set(entries(REQUESTS, lambda request: request, lambda body: body).values()) == {"kept"}
