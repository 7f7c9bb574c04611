"""What Ollama's `/api/chat` takes, by its SDK's options and the fields of the server's `api/types.go`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import ollama
import pydantic

Base64 = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class Strict(pydantic.BaseModel):
    """The SDK's types take any key and any option; these are the fields of the server's `api/types.go`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Function(Strict):
    name: str
    arguments: dict[str, Any]
    index: int | None = None


class Call(Strict):
    id: str | None = None
    function: Function


class Message(Strict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    thinking: str | None = None
    images: list[Base64] | None = pydantic.Field(None, min_length=1)
    tool_calls: list[Call] | None = pydantic.Field(None, min_length=1)
    tool_name: str | None = None
    tool_call_id: str | None = None


class Described(Strict):
    name: str
    description: str | None = None
    parameters: dict[str, Any]


class Tool(Strict):
    type: Literal["function"]
    function: Described


class Options(ollama.Options):
    """What the SDK names, and what the server learned since."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    min_p: float | None = None


class Body(Strict):
    model: str
    messages: list[Message] = pydantic.Field(min_length=1)
    tools: list[Tool] | None = pydantic.Field(None, min_length=1)
    options: Options | None = None
    format: Literal["json"] | dict[str, Any] | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stream: bool | None = None


def judge(body: dict[str, Any]) -> None:
    """Raises where `body` is no chat request of Ollama's."""
    Body.model_validate(body)
