"""What the ledger says is kept is kept in every request of the corpus, not only alone.

The ledger asks about one field at a time. Here whole conversations go out in a format and are read back in
it: each field that its ledger says the format keeps, or keeps by another name, is found again as it was.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import corpus
import pytest
from dialect import Shipped

from engine.errors import RequestError
from engine.wire.ledger import entries
from engine.wire.probes import REQUESTS

FORMATS = (
    "anthropic_messages",
    "bedrock_converse",
    "cohere_v2",
    "gemini",
    "ollama",
    "openai_chat",
    "openai_completions",
    "openai_responses",
)

#: What changes in company, and why: (format or `*`, request) -> the fields.
KNOWN: dict[tuple[str, str], set[str]] = {
    # These formats take objects, so a text that is none goes into one.
    ("*", "arguments that are no json"): {"messages.tool_call"},
    # Identifiers are short and plain there: calls and their results get the same new one.
    ("*", "ids of another vendor"): {"messages.tool_call.id"},
    # An empty text is refused there.
    ("anthropic_messages", "an empty result"): {"messages.tool_result"},
    ("bedrock_converse", "an empty result"): {"messages.tool_result"},
    # There is no word for these choices: the tools that may not be called are left out.
    ("bedrock_converse", "choice none"): {
        "tools",
        "tools.description",
        "tools.parameters",
        "tool_choice.required",
    },
    ("ollama", "choice none"): {"tools", "tools.description", "tools.parameters"},
    ("ollama", "choice named"): {"tools", "tools.description", "tools.parameters"},
    ("cohere_v2", "choice named"): {
        "tools",
        "tools.description",
        "tools.parameters",
        "tool_choice.none",
        "tool_choice.required",
        "tool_choice.named",
    },
    # Only what comes first is a system text there; later ones are the user's.
    ("gemini", "system in the middle"): {"messages.system"},
    # A message is one text there.
    ("ollama", "system in two parts"): {"messages.system"},
    # Thoughts are the model's own or nobody's there.
    ("ollama", "reasoning of another vendor"): {"messages.reasoning"},
}


class Format:
    """A format that is written and read."""

    def __init__(self, name: str) -> None:
        self.shipped = Shipped(name)
        # A format whose model stands in the path is read with the model put into the body.
        in_path = self.shipped.bound.operation("chat").plan.model_field is None
        self.path = {"model": "assistant"} if in_path else {}
        found = entries(REQUESTS, self.write, self.read)
        self.kept = [probe for probe in REQUESTS if found[probe.name] in ("kept", "renamed")]

    def write(self, request: Any) -> dict[str, Any]:
        return self.shipped.write(request, max_tokens=request.get("max_tokens"))

    def told(self, request: Any) -> list[str]:
        """What the format's rules change of a request, by the canonical fields that they name."""
        told: list[str] = []
        target = {"wire_model": "wire-model", "max_tokens": request.get("max_tokens")}
        rules = self.shipped.bound.operation("chat").adjust
        rules(request, {}, target, {"name": "x", "drop": []}, told)
        return [each.partition("=")[0] for each in told]

    def read(self, body: dict[str, Any]) -> dict[str, Any]:
        return dict(self.shipped.read({**self.path, **body}))


@cache
def the(name: str) -> Format:
    return Format(name)


@pytest.mark.parametrize("name", corpus.names())
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_kept_alone_is_kept_together(form: str, name: str) -> None:
    request = corpus.request(name)
    try:
        body = the(form).write(request)
    except RequestError:
        return
    back = the(form).read(body)
    told = the(form).told(request)
    lost = {
        probe.name: (probe.find(request), probe.find(back))
        for probe in the(form).kept
        if probe.holds(request)
        and probe.find(back) != probe.find(request)
        and not any(probe.name.startswith(each) for each in told)
    }
    known = KNOWN.get((form, name)) or KNOWN.get(("*", name)) or set()
    assert set(lost) <= known, lost
