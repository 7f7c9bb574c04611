"""`credentials:` what is shown to a vendor."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from engine.spec.auth import Identity
from engine.spec.expression import Expression
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.names import Name
from engine.spec.plain import Text
from engine.spec.secret import SecretRefs

#: Keys of a credential that are no slots of a scheme.
NO_SLOTS = ("provider", "only")


class Credential(Spec):
    """One credential of one vendor, whole: nothing is added to it from the provider file's own defaults.

    Which fields it may have depends on the provider's `auth`.
    """

    noun: ClassVar[str] = "credential"

    provider: Name = about("The vendor it is for.", required=True, examples=["openai"])
    secret: SecretRefs | None = about("Where the API key is read; of several places the first that is set.")
    client_id: Identity | None = about("OAuth, Entra: the client's id.")
    client_secret: SecretRefs | None = about("OAuth, Entra: where the client's secret is read.")
    tenant: Identity | None = about("Entra: the tenant's id.")
    certificate: SecretRefs | None = about("Entra: where a PEM with certificate and RSA key is read.")
    token_file: Text | None = about(
        "Entra and AWS: the file into which somebody writes a token of this workload."
    )
    service_account: SecretRefs | None = about("Google: where a service account's JSON document is read.")
    private_key: SecretRefs | None = about("JWT bearer: where an RSA key is read, with `issuer`.")
    issuer: Identity | None = about("JWT bearer: who signs.")
    key_id: Identity | None = about("JWT bearer: which of the issuer's keys it is.")
    subject: Identity | None = about("JWT bearer: for whom it is signed.")
    assertion: SecretRefs | None = about("SAML: where the assertion is read.")
    access_key: SecretRefs | None = about("AWS: where the id of the access key is read.")
    secret_key: SecretRefs | None = about("AWS: where its secret is read.")
    session_token: SecretRefs | None = about("AWS: where the token of a session is read.")
    profile: Text | None = about("AWS: a profile of the shared config files.")
    role: Text | None = about("AWS: the ARN of a role to assume, with whatever else the credential names.")
    external_id: Identity | None = about("AWS: what the role's owner wants to be told.")
    session_name: Text | None = about("AWS: the name of the session.", shown="llm-runner-router-TIME")
    only: Expression | None = about(
        "Used only for requests for which this holds; it reads `key.*`.",
        shown="always",
        examples=['key.org == "acme"'],
    )

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        given = self.slots
        if not given:
            raise fault(
                "E107", "the credential shows nothing", "give it `secret`, or what its provider's auth takes"
            )
        other = next((slot for slot in ("profile", "role") if slot in given), None)
        if "secret" in given and other is not None:
            raise fault("E113", f"`secret` and `{other}` exclude each other", "keep one", at=(other,))
        return self

    @property
    def slots(self) -> tuple[str, ...]:
        """What it gives, in the order of the fields."""
        names = (name for name in type(self).model_fields if name not in NO_SLOTS)
        return tuple(name for name in names if getattr(self, name) is not None)
