"""What Cohere's `/v2/chat` takes, by its SDK's types with the words and ranges that they leave open."""

from __future__ import annotations

from typing import Literal

import cohere
import pydantic
from cohere.types import chat_message_v2, response_format_v2
from strict import strict_model

Fraction = pydantic.Field(None, ge=0, le=1)


class Thinking(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    type: Literal["enabled", "disabled"]
    token_budget: int | None = pydantic.Field(None, ge=0)


class Body(pydantic.BaseModel):
    """What `/v2/chat` takes: the SDK's parameters, with the words and ranges that its types leave open."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    model: str
    messages: list[chat_message_v2.ChatMessageV2] = pydantic.Field(min_length=1)
    tools: list[cohere.ToolV2] | None = pydantic.Field(None, min_length=1)
    strict_tools: bool | None = None
    response_format: response_format_v2.ResponseFormatV2 | None = None
    max_tokens: int | None = pydantic.Field(None, ge=0)
    stop_sequences: list[str] | None = pydantic.Field(None, max_length=5)
    temperature: float | None = Fraction
    seed: int | None = pydantic.Field(None, ge=0)
    frequency_penalty: float | None = Fraction
    presence_penalty: float | None = Fraction
    k: int | None = pydantic.Field(None, ge=0, le=500)
    p: float | None = pydantic.Field(None, ge=0.01, le=0.99)
    logprobs: bool | None = None
    tool_choice: Literal["REQUIRED", "NONE"] | None = None
    thinking: Thinking | None = None


judge = strict_model(Body)
