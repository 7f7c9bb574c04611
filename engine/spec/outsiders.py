"""`keys.jwt` and `keys.mtls`: who is known by a token of an identity provider, or by a certificate."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import PlainValidator, WithJsonSchema, model_validator

from engine.plan.identity import Take
from engine.spec.address import checked_base_url
from engine.spec.amounts import Duration, PositiveDuration
from engine.spec.containers import Mapped, Some
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form
from engine.spec.model import Spec, about
from engine.spec.names import GroupName, Name, Word
from engine.spec.one_or_more import OneOrMore
from engine.spec.plain import Text

#: Only signatures that anybody can check and one can make: with a secret that is shared, whoever can check a
#: token can make one.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
USUAL: Final = ("RS256", "ES256", "EdDSA")

_LEEWAY_MAX_MS: Final = 300_000
_REFRESH_MIN_MS: Final = 10_000


def _algorithm(value: Any) -> str:
    if value in ALGORITHMS:
        return str(value)
    if isinstance(value, str) and (value.lower() == "none" or value.upper().startswith("HS")):
        why = "signs nothing" if value.lower() == "none" else "is checked with the secret that also signs"
        raise fault(
            "E293",
            f"{shown(value)} {why}, so anybody could make a token",
            f"write one of {', '.join(ALGORITHMS)}",
        )
    raise wrong_type(value, f"an algorithm ({', '.join(ALGORITHMS)})")


Algorithm = Annotated[str, PlainValidator(_algorithm), WithJsonSchema({"enum": list(ALGORITHMS)})]


def _issuer(value: Any) -> str:
    return checked_base_url(value)


IssuerUrl = Annotated[
    str,
    PlainValidator(_issuer),
    json_form(
        r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        "An issuer's name, letter by letter as its tokens have it.",
        "https://login.acme.ai/realms/main",
    ),
]


def _jwks(value: Any) -> str:
    if isinstance(value, str) and value.startswith("file:") and value != "file:":
        return value
    if isinstance(value, str) and re.match(r"https?://", value):
        return checked_base_url(value)
    raise wrong_type(value, "an address of keys", "https://login.acme.ai/keys or file:jwks.json")


JwksPlace = Annotated[
    str,
    PlainValidator(_jwks),
    json_form(
        r"^(https?://[^\s/?#@]+(/[^\s?#]*)?|file:.+)$",
        "Where an issuer's keys are: https, http in a private network, or a file.",
        "https://login.acme.ai/realms/main/certs",
    ),
]

_TAKE_FORMS: Final = "a claim's name, a path like [groups, 0], or {claim: ..., values: {...}}"


def _path(value: Any, at: tuple[str | int, ...] = ()) -> tuple[str | int, ...]:
    if isinstance(value, str) and value.strip():
        return (value,)
    if isinstance(value, list) and value and isinstance(value[0], str):
        for number, step in enumerate(value):
            good = isinstance(step, str) and bool(step)
            if not good and (isinstance(step, bool) or not isinstance(step, int) or step < 0):
                raise fault(
                    "E293",
                    f"{shown(step)} is no step on the way to a claim",
                    "a step is a name, or a position in a list, counted from 0",
                    at=(*at, number),
                )
        return tuple(value)
    raise fault("E293", f"{shown(value)} is no claim", f"write {_TAKE_FORMS}", at=at)


def _take(value: Any) -> Take:
    if not isinstance(value, dict):
        return Take(_path(value))
    unknown = value.keys() - {"claim", "values"}
    if unknown or "claim" not in value:
        raise fault("E293", "this is no claim", f"write {_TAKE_FORMS}")
    values = value.get("values")
    if values is None:
        return Take(_path(value["claim"], ("claim",)))
    if (
        not isinstance(values, dict)
        or not values
        or not all(isinstance(v, str) and v for v in values.values())
    ):
        raise fault(
            "E293",
            "`values` says for each value of the claim what it is here",
            "write values: {acme-support: support}",
            at=("values",),
        )
    return Take(
        _path(value["claim"], ("claim",)), tuple((str(theirs), ours) for theirs, ours in values.items())
    )


_STEPS: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
        },
    ]
}
TakeForm = Annotated[
    Take,
    PlainValidator(_take),
    WithJsonSchema(
        {
            "description": "A claim's name, whatever characters are in it; a list of names and positions, "
            "the way down to it; or a map that also says what its values are here.",
            "anyOf": [
                *_STEPS["anyOf"],
                {
                    "type": "object",
                    "required": ["claim"],
                    "additionalProperties": False,
                    "properties": {
                        "claim": _STEPS,
                        "values": {
                            "type": "object",
                            "minProperties": 1,
                            "additionalProperties": {"type": "string"},
                        },
                    },
                },
            ],
            "examples": ["https://acme.ai/team", ["realm_access", "roles", 0]],
        }
    ),
]


class Claims(Spec):
    """What a token's claims say of whom it is for."""

    noun: ClassVar[str] = "claims"

    name: TakeForm | None = about("The key's name, in records too.", shown="the key's id", examples=["email"])
    org: TakeForm | None = about("Its organisation.", examples=["org_id"])
    groups: TakeForm | None = about("Groups it is in; values that are no `groups:` here mean nothing.")
    tags: Mapped[Word, TakeForm] | None = about(
        "Its tags.",
        examples=[{"team": ["groups", 0]}, {"team": {"claim": "groups", "values": {"acme-cs": "support"}}}],
    )


class Revoked(Spec):
    """Whose tokens are refused before they end."""

    noun: ClassVar[str] = "revoked"

    subjects: Some[Text] | None = about("Their `sub`.")
    tokens: Some[Text] | None = about("Their `jti`; a token without one is refused then.")


class TokenIssuer(Spec):
    """An identity provider. Its tokens are taken where a client key is, and mean the same."""

    noun: ClassVar[str] = "token issuer"

    issuer: IssuerUrl = about("Its name, as its tokens have it (`iss`).", required=True)
    audience: OneOrMore[Text] = about(
        "For whom its tokens must be (`aud`): one of these.", required=True, examples=["llm", ["llm", "api"]]
    )
    jwks: JwksPlace | None = about(
        "Where its keys are.", shown="where its /.well-known/openid-configuration says"
    )
    algorithms: Some[Algorithm] = about(
        "What its tokens may be signed with.", default=USUAL, shown=f"[{', '.join(USUAL)}]"
    )
    claims: Claims | None = about("What its tokens say of whom they are for.")
    org: Name | None = about("The organisation of all its subjects.")
    tags: Mapped[Word, Text] | None = about("Tags of all its subjects.", examples=[{"kind": "employee"}])
    groups: Some[GroupName] | None = about("Groups that all its subjects are in.")
    leeway: Duration = about("By how much clocks may differ; at most 5m.", default=30_000, shown="30s")
    max_age: PositiveDuration | None = about(
        "How long a token is good at most, whatever it says itself.", shown="until it ends"
    )
    refresh: PositiveDuration = about(
        "Every how often its keys are fetched; also once a token names a new one.",
        default=600_000,
        shown="10m",
    )
    keep: PositiveDuration = about(
        "How long its last keys are good while it cannot be reached.", default=86_400_000, shown="1d"
    )
    revoked: Revoked | None = about("Whose tokens are refused before they end.")

    @model_validator(mode="after")
    def _times_make_sense(self) -> Self:
        if self.leeway > _LEEWAY_MAX_MS:
            raise fault("E112", "clocks differ by 5m at most", "write leeway: 30s", at=("leeway",))
        if self.refresh < _REFRESH_MIN_MS:
            raise fault("E112", "keys are fetched every 10s at most", "write refresh: 10m", at=("refresh",))
        if self.keep < self.refresh:
            raise fault(
                "E112",
                "keys would be too old before they are fetched again",
                "write a `keep` above `refresh`",
                at=("keep",),
            )
        return self


#: How rules name what a certificate holds.
KINDS: Final = ("uri", "dns", "email", "cn")


class CertificateRule(Spec):
    """Whose client certificates are somebody's: those that one of `tls.clients` signed, with this name."""

    noun: ClassVar[str] = "certificate rule"

    uri: Text | None = about(
        "A URI of its alternative names; `*` stands for anything but `/`.",
        examples=["spiffe://acme.ai/ns/support/*"],
    )
    dns: Text | None = about("A host of its alternative names; `*` stands for one label.")
    email: Text | None = about("A mail address of its alternative names; `*` stands for anything but `@`.")
    cn: Text | None = about("Its common name; `*` stands for anything.")
    org: Name | None = about("Their organisation.")
    tags: Mapped[Word, Text] | None = about("Their tags.", examples=[{"team": "support"}])
    groups: Some[GroupName] | None = about("Groups that they are in.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            raise fault(
                "E295",
                "a certificate is known by one name, and this rule gives " + (" and ".join(named) or "none"),
                "write one of uri, dns, email and cn",
            )
        return self

    @property
    def name(self) -> tuple[str, str]:
        """(kind, pattern)."""
        return next((kind, getattr(self, kind)) for kind in KINDS if getattr(self, kind) is not None)
