"""`keys:` and `groups:` who asks, and what they may."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.spec.containers import Listed, Mapped, Some
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import AllowedZone, BudgetName, GuardName, LimitName, ModelPattern, Name, Word
from engine.spec.plain import Flag, Text

_HASH = r"hmac-sha256:[0-9A-Fa-f.]+"


def _hash(value: Any) -> str:
    import re

    if not isinstance(value, str) or not re.fullmatch(_HASH, value):
        # Never repeated: it may be the key itself.
        raise fault(
            "E105",
            "no hash stands where a client key's hash is expected (it is not shown)",
            "`engine keys new --print` gives it",
        )
    return value


class Tag(Spec):
    """A tag that client keys may carry. Declared, so that a typo in an expression is an error."""

    noun: ClassVar[str] = "tag"

    values: Some[Text] | None = about("The values it may have.", shown="any text")
    required: Flag = about("Every client key must carry it.", default=False, shown="false")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A bare list is its values; nothing at all is any text."""
        if value is None:
            return {}
        return {"values": value} if isinstance(value, list | tuple) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        values = {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "The values it may have.",
        }
        return {"anyOf": [values, handler(schema), {"type": "null"}]}


class Client(Spec):
    """A client key kept in Git: its hash, never the key."""

    noun: ClassVar[str] = "client key"

    hash: Annotated[
        str, BeforeValidator(_hash), WithJsonSchema({"type": "string", "pattern": f"^{_HASH}$"})
    ] = about("`engine keys new --print` gives it.", required=True)
    org: Name | None = about("The organisation it belongs to.")
    tags: Mapped[Word, Text] | None = about("Its tags.", examples=[{"team": "support"}])


class Keys(Spec):
    """What is declared of client keys: organisations, tags, and keys kept in Git."""

    noun: ClassVar[str] = "keys"

    orgs: Listed[Name] | None = about("The organisations there are.", examples=[["acme", "globex"]])
    tags: Mapped[Word, Tag] | None = about("The tags there are: a list of values, or a map.")
    clients: Mapped[Name, Client] | None = about("Client keys kept in Git; others live in the state store.")


class Group(Spec):
    """Policy for people: all groups that match a key apply, the stricter wins; `default` is for the rest."""

    noun: ClassVar[str] = "group"

    when: Expression | None = about("Which keys are in it.", examples=['key.tags.kind == "ci"'])
    models: Some[ModelPattern] | None = about("The only models they may ask for.")
    limits: Some[LimitName] | None = about("Limits that hold for them.")
    budgets: Some[BudgetName] | None = about("Budgets that hold for them.")
    guards: Some[GuardName] | None = about("Guards that hold for them.")
    residency: Some[AllowedZone] | None = about("Where their data may be processed.")
