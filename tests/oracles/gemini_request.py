"""What Gemini's `generateContent` takes, by google-genai's types and what they leave to the server."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pydantic
from google.genai import types
from pydantic.alias_generators import to_camel


class Body(pydantic.BaseModel):
    """What `generateContent` takes, of the SDK's types; the SDK has no type for it as a whole."""

    model_config = pydantic.ConfigDict(extra="forbid", alias_generator=to_camel)

    contents: list[types.Content] = pydantic.Field(min_length=1)
    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = pydantic.Field(None, min_length=1)
    tool_config: types.ToolConfig | None = None
    generation_config: types.GenerationConfig | None = None
    labels: dict[str, str] | None = None
    service_tier: types.ServiceTier | None = None


def judge(body: dict[str, Any]) -> None:
    """Raises where `body` is none, and for what the types leave to the server."""
    found = Body.model_validate_json(orjson.dumps(body))
    names = set()
    for content in found.contents:
        assert content.role in ("user", "model")
        assert content.parts
        for part in content.parts:
            said = part.model_dump(exclude_none=True).keys() - {"thought", "thought_signature"}
            assert len(said) == 1, said
            if part.function_call:
                assert part.function_call.args is not None
                names.add((part.function_call.id, part.function_call.name))
            if part.function_response:
                assert (part.function_response.id, part.function_response.name) in names
    roles = [content.role for content in found.contents]
    assert all(one != other for one, other in pairwise(roles))
