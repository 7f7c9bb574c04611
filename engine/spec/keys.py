"""`keys:` and `groups:` who asks, and what they may."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainValidator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from engine.keys.form import LIKE_A_KEY
from engine.keys.hashing import PATTERN
from engine.spec.containers import Listed, Mapped, Some
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.json_form import json_form
from engine.spec.model import Spec, about
from engine.spec.names import (
    AllowedZone,
    BudgetName,
    GroupName,
    GuardName,
    LimitName,
    ModelPattern,
    Name,
    Word,
)
from engine.spec.network import Networks
from engine.spec.one_or_more import OrOne
from engine.spec.outsiders import CertificateRule, TokenIssuer
from engine.spec.plain import Flag, Moment, Text


def _hash(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(PATTERN, value):
        return value
    # Never repeated: it may be the key itself.
    if isinstance(value, str) and LIKE_A_KEY.search(value):
        raise fault(
            "E105",
            "a client key stands in plain text where its hash is expected (it is not shown)",
            "revoke it, it may be in Git: `engine keys new --print` makes another and prints its hash",
        )
    raise fault(
        "E105",
        "no hash stands where a client key's hash is expected (it is not shown)",
        "`engine keys new --print` gives it: hmac-sha256: and 64 digits of 0-9 and a-f",
    )


def _hashes(value: Any) -> Any:
    """One hash or a list of them; no value is looked at here, because it may be a key."""
    if not isinstance(value, list | tuple):
        return (value,)
    if not value:
        raise fault("E114", "the list is empty", "name at least one hash")
    return tuple(value)


Hash = TypeAliasType(
    "Hash",
    Annotated[
        str,
        PlainValidator(_hash),
        json_form(f"^{PATTERN}$", "What is kept of a client key.", "hmac-sha256:" + "5f1c" * 16),
    ],
)


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

    hash: Annotated[tuple[Hash, ...], BeforeValidator(_hashes), OrOne()] = about(
        "`engine keys new --print` gives it. A list while one key takes over from another.", required=True
    )
    org: Name | None = about("The organisation it belongs to.")
    tags: Mapped[Word, Text] | None = about("Its tags.", examples=[{"team": "support"}])
    groups: Some[GroupName] | None = about("Groups that it is in, beside those whose `when` holds for it.")
    models: Some[ModelPattern] | None = about("The only models it may ask for.", shown="all")
    limits: Some[LimitName] | None = about("Limits that hold for it.")
    budgets: Some[BudgetName] | None = about("Budgets that hold for it.")
    expires: Moment | None = about("Until when it is good.", shown="for ever", examples=["2027-01-31"])
    ips: Networks | None = about("Where it may come from.", shown="anywhere", examples=[["10.1.0.0/16"]])


class Keys(Spec):
    """What is declared of client keys: organisations, tags, and keys kept in Git."""

    noun: ClassVar[str] = "keys"

    orgs: Listed[Name] | None = about("The organisations there are.", examples=[["acme", "globex"]])
    tags: Mapped[Word, Tag] | None = about("The tags there are: a list of values, or a map.")
    clients: Mapped[Name, Client] | None = about("Client keys kept in Git; others live in the state store.")
    jwt: Mapped[Name, TokenIssuer] | None = about("Identity providers whose tokens are taken as keys are.")
    mtls: Mapped[Name, CertificateRule] | None = about("Whose certificates are taken as keys are.")


class Group(Spec):
    """Policy for people: all groups that match a key apply, the stricter wins; `default` is for the rest."""

    noun: ClassVar[str] = "group"

    when: Expression | None = about("Which keys are in it.", examples=['key.tags.kind == "ci"'])
    models: Some[ModelPattern] | None = about("The only models they may ask for.")
    limits: Some[LimitName] | None = about("Limits that hold for them.")
    budgets: Some[BudgetName] | None = about("Budgets that hold for them.")
    guards: Some[GuardName] | None = about("Guards that hold for them.")
    residency: Some[AllowedZone] | None = about("Where their data may be processed.")
    ips: Networks | None = about("Where they may come from.", shown="anywhere", examples=[["10.1.0.0/16"]])
