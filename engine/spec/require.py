"""`require:` the floor that policies lay under every route."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Tag

from engine.spec.containers import Some
from engine.spec.expression import Expression
from engine.spec.model import Spec, about
from engine.spec.names import AllowedZone, BudgetName, CredentialName, GuardName, LimitName, ModelPattern
from engine.spec.route import Admit, PerRequest


def _credentials(value: Any) -> str:
    return "form:word" if isinstance(value, str) else "form:list"


Credentials = Annotated[
    Annotated[Literal["explicit"], Tag("form:word")] | Annotated[Some[CredentialName], Tag("form:list")],
    Discriminator(_credentials),
]


class Require(Spec):
    """A floor: allow-lists intersect, guards, budgets and limits add up, the lower ceiling holds."""

    noun: ClassVar[str] = "require"

    when: Expression | None = about(
        "For which client keys; it reads `key.*` only.",
        shown="every request of every route",
        examples=['key.tags.data == "eu"'],
    )
    residency: Some[AllowedZone] | None = about(
        "Where data may be processed at most.", examples=[["eu", "on_host"]]
    )
    guards: Some[GuardName] | None = about("Guards that hold in any case.")
    budgets: Some[BudgetName] | None = about("Budgets that hold in any case.")
    limits: Some[LimitName] | None = about("Limits that hold in any case.")
    models: Some[ModelPattern] | None = about("The only models that may be asked for.")
    admit: Admit | None = about("What may be let in at most.")
    per_request: PerRequest | None = about("The most that one request may cause.")
    credentials: Credentials | None = about(
        "The only credentials that may be used; `explicit`: none from a provider file's defaults.",
        examples=[["acme-aws"], "explicit"],
    )
    state: Literal["shared"] | None = about("The state store must be one that all hosts share.")
