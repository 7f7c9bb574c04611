"""The smallest parts of a plan: checked expressions and templates as IR, and where secrets are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Json = Any

#: What may be asked of a model. Everything but chats is told by its name in routes and in dialect files.
OperationName = Literal["chat", "embeddings", "rerank", "count_tokens"]


@dataclass(frozen=True, slots=True)
class Expr:
    """A checked expression. `scope` names the parameters of the bound function (`code.SCOPES`)."""

    source: str
    scope: str
    type: str
    ir: Json


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template: structure directives around expressions, lowered to IR."""

    scope: str
    ir: Json


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is read when a call needs it; never the secret itself."""

    source: Literal["env", "file", "vault"]
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"
