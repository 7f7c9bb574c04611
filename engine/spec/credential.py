"""`credentials:` what is shown to a vendor."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.plain import Text
from engine.spec.secret import SecretRef


class Credential(Spec):
    """One credential of one vendor: a secret, a profile of the vendor's own tools, or a role to assume."""

    noun: ClassVar[str] = "credential"

    provider: Name = about("The vendor it is for.", required=True, examples=["openai"])
    secret: SecretRef | None = about("Where the API key is read.")
    profile: Text | None = about("A profile of the vendor's own configuration, like an AWS profile.")
    role: Text | None = about("A role to assume, like an AWS role's ARN.")
    only: Expression | None = about(
        "Used only for requests for which this holds; it reads `key.*`.",
        shown="always",
        examples=['key.org == "acme"'],
    )

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        given = [key for key in ("secret", "profile", "role") if getattr(self, key) is not None]
        if not given:
            raise fault("E107", "the credential shows nothing", "give it `secret`, `profile` or `role`")
        if "secret" in given and len(given) > 1:
            raise fault("E113", f"`secret` and `{given[1]}` exclude each other", "keep one", at=(given[1],))
        return self
