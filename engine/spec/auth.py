"""`auth:` of a provider file: how a call shows its credential. One class for each scheme's fields.

Fields with a place for a secret are what a credential of the workspace fills instead, by the same name; the
table of them is `engine/plan/auth.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from engine.plan.auth import SLOTS
from engine.spec.amounts import PositiveDuration
from engine.spec.containers import Some
from engine.spec.dialect import Regex
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form
from engine.spec.model import Spec, about
from engine.spec.plain import Flag, JsonValue, Text, read_text
from engine.spec.secret import SecretRefs, read_secrets

#: The schemes, by the keys that name them.
SCHEMES: Final = tuple(SLOTS)

_URL: Final = re.compile(r"(https?)://([^\s/?#@]+)(/[^\s?#]*)?")
_OWN_MACHINE: Final = re.compile(
    r"localhost|127(?:\.[0-9]+){3}|169\.254(?:\.[0-9]+){2}|\[::1\]|\[fd00:ec2::(?:23|254)\]"
)


def _token_url(value: Any) -> str:
    """https, or http to this machine and its metadata service. Braces are a template's."""
    text = read_text(value)
    bare = re.sub(r"\$\{\{.*?\}\}", "x", text)
    match = _URL.fullmatch(bare)
    if match is None:
        raise wrong_type(value, "an address that begins with https://", "https://login.acme.ai/oauth2/token")
    host = match[2] if match[2].endswith("]") else match[2].partition(":")[0] or match[2]
    if match[2].startswith("["):
        host = match[2].partition("]")[0] + "]"
    if match[1] == "http" and not _OWN_MACHINE.fullmatch(host):
        raise fault(
            "E403",
            f"plain http to {shown(host)}, which is not this machine: keys and tokens could be read",
            f"write https://{text.removeprefix('http://')}",
        )
    return text


#: Where tokens are asked for. May hold `${{ region }}` and `${{ settings.NAME }}`.
TokenUrl = TypeAliasType(
    "TokenUrl",
    Annotated[
        str,
        PlainValidator(_token_url),
        json_form(
            r"^https?://[^\s/?#@]+",
            "Where tokens are asked for: https, or http to this machine or its metadata service. May hold "
            "`${{ region }}` and `${{ settings.NAME }}`.",
            "https://login.acme.ai/oauth2/token",
        ),
    ],
)

#: A text that may hold `${{ region }}` and `${{ settings.NAME }}`.
PlaceText = TypeAliasType(
    "PlaceText",
    Annotated[
        str,
        PlainValidator(read_text),
        json_form(
            None,
            "A text, which may hold `${{ region }}` and `${{ settings.NAME }}`.",
            "${{ region }}",
            minLength=1,
        ),
    ],
)


def _identity(value: Any) -> Any:
    refers = isinstance(value, list) or (isinstance(value, str) and re.match(r"(env|file|vault):", value))
    return read_secrets(value) if refers else read_text(value)


#: Who somebody is: no secret, so it may stand here, or be read like one.
Identity = TypeAliasType(
    "Identity",
    Annotated[
        Any,
        PlainValidator(_identity),
        json_form(
            None,
            "A name or an id, no secret: the text itself, or where it is read (env:NAME, file:/path).",
            "env:AZURE_CLIENT_ID",
            type=["string", "array"],
        ),
    ],
)

_KEY: Final = (
    "Where the key is read, unless a credential says otherwise; of several places the first that is set."
)
_TOKEN_URL: Final = "Where tokens are asked for."
_SCOPE: Final = "What the token is for; several between blanks."


class HeaderAuth(Spec):
    """The key in a header."""

    noun: ClassVar[str] = "header auth"

    name: Text = about("The header's name, like `x-api-key`.", required=True)
    prefix: Annotated[str, PlainValidator(str), WithJsonSchema({"type": "string"})] | None = about(
        "Text before the key, like `Token ` (with its space)."
    )
    secret: SecretRefs | None = about(_KEY)


class QueryAuth(Spec):
    """The key in the query of the URL."""

    noun: ClassVar[str] = "query auth"

    name: Text = about("The parameter's name, like `key`.", required=True)
    secret: SecretRefs | None = about(_KEY)


class AwsSigV4(Spec):
    """Requests signed with AWS keys (signature version 4).

    Keys come from a credential (`access_key` and `secret_key`, a `profile`, a `role` on top of either, or a
    `role` with the `token_file` of a web identity); without one, in the order of AWS's own tools: the
    environment, the shared files' profile (`AWS_PROFILE`; roles, processes), a web identity, the container's
    endpoint (ECS, EKS), the instance's metadata service, version 2.
    """

    noun: ClassVar[str] = "aws_sigv4"

    service: Text = about("The service's name in the signature.", required=True, examples=["bedrock"])
    region: PlaceText = about("The AWS region in the signature.", default="${{ region }}")
    sts_url: TokenUrl | None = about("Where roles are asked for.", shown="the region's own endpoint of STS")


class ClientCredentialsAuth(Spec):
    """OAuth 2 client credentials: a client's id and secret for a token."""

    noun: ClassVar[str] = "oauth2_client_credentials"

    token_url: TokenUrl = about(_TOKEN_URL, required=True)
    scope: PlaceText | None = about(_SCOPE)
    client_id: Identity | None = about("The client's id.")
    client_secret: SecretRefs | None = about("Where its secret is read.")
    send: Literal["basic", "body"] = about(
        "Where the two stand: in a header, or in the form.", default="basic"
    )
    form: dict[str, PlaceText] | None = about("Further fields of the form, like `audience`.")


class JwtBearerAuth(Spec):
    """OAuth 2 with a signed statement (RFC 7523): the service accounts of Google.

    The signing needs the extra `auth` (`pip install "llm-runner-router[auth]"`). A service account's document
    may not name another host than `token_url`.
    """

    noun: ClassVar[str] = "oauth2_jwt_bearer"

    token_url: TokenUrl = about(_TOKEN_URL, required=True)
    scope: PlaceText | None = about(_SCOPE)
    audience: PlaceText | None = about("For whom the statement is.", shown="`token_url`")
    service_account: SecretRefs | None = about(
        "Where the JSON document is read; a variable may hold the document or the path of its file."
    )
    private_key: SecretRefs | None = about(
        "Where an RSA key (PEM) is read, with `issuer` instead of a document."
    )
    issuer: Identity | None = about("Who signs.")
    key_id: Identity | None = about("Which of the issuer's keys it is.")
    subject: Identity | None = about("For whom it is signed, where that is somebody else.")
    metadata_url: TokenUrl | None = about(
        "The machine's metadata service, asked where there is no credential."
    )
    metadata_headers: dict[str, Text] | None = about("Headers that it wants.")


class Saml2BearerAuth(Spec):
    """A SAML 2.0 assertion for a token (RFC 7522). Who writes the assertion keeps it fresh."""

    noun: ClassVar[str] = "saml2_bearer"

    token_url: TokenUrl = about(_TOKEN_URL, required=True)
    scope: PlaceText | None = about(_SCOPE)
    assertion: SecretRefs | None = about("Where it is read: XML, or XML in Base64.")
    client_id: Identity | None = about("The client's id, where the endpoint wants one.")
    client_secret: SecretRefs | None = about("Where its secret is read.")
    send: Literal["basic", "body"] = about(
        "Where the two stand: in a header, or in the form.", default="basic"
    )
    form: dict[str, PlaceText] | None = about("Further fields of the form.")


class TokenExchangeAuth(Spec):
    """A key exchanged for a short-lived token: IBM's IAM, RFC 8693 and their like."""

    noun: ClassVar[str] = "token_exchange"

    token_url: TokenUrl = about(_TOKEN_URL, required=True)
    secret: SecretRefs | None = about(_KEY)
    secret_field: Text = about("The field that carries it, like `apikey` or `subject_token`.", required=True)
    form: dict[str, PlaceText] | None = about(
        "The other fields, like `grant_type`.",
        examples=[{"grant_type": "urn:ibm:params:oauth:grant-type:apikey"}],
    )
    body: Literal["form", "json"] = about("How the fields are written.", default="form")
    token: Text = about("Path of the token in the answer.", default="access_token")
    expires_in: Text = about("Path of its life in seconds.", default="expires_in")
    expires_at: Text | None = about(
        "Path of its end, in seconds since 1970 or RFC 3339; goes before `expires_in`."
    )
    lifetime: PositiveDuration | None = about("Its life, where the answer does not say.", shown="5m")
    client_id: Identity | None = about("The client's id, where the endpoint wants one.")
    client_secret: SecretRefs | None = about("Where its secret is read.")
    send: Literal["basic", "body"] = about(
        "Where the two stand: in a header, or in the form.", default="basic"
    )


class EntraAuth(Spec):
    """Microsoft Entra ID, by the first of these that is there: a client secret, a certificate, a federated
    token's file (workload identity), the machine's managed identity.

    A certificate needs the extra `auth` (`pip install "llm-runner-router[auth]"`).
    """

    noun: ClassVar[str] = "azure_entra"

    scope: PlaceText = about(
        "What the token is for.", required=True, examples=["https://cognitiveservices.azure.com/.default"]
    )
    tenant: Identity | None = about("The tenant's id.")
    client_id: Identity | None = about("The application's id; of a managed identity: which one.")
    client_secret: SecretRefs | None = about("Where its secret is read.")
    certificate: SecretRefs | None = about("Where a PEM with certificate and RSA key is read.")
    token_file: SecretRefs | None = about(
        "Where the federated token is read; a variable may hold the file's path."
    )
    managed_identity: Flag = about("Ask the machine where nothing else is there.", default=True)
    authority: TokenUrl = about("The cloud's endpoint.", default="https://login.microsoftonline.com")


class KeyJwtAuth(Spec):
    """A JWT (HS256) that the engine makes of a key `ID.SECRET`: the old keys of Zhipu."""

    noun: ClassVar[str] = "jwt_hs256"

    secret: SecretRefs | None = about(_KEY)
    id_claim: Text = about("The claim that holds the id.", default="iss", examples=["api_key"])
    issued_claim: Text = about(
        "The claim that holds when it was made.", default="iat", examples=["timestamp"]
    )
    unit: Literal["s", "ms"] = about("What the moments are counted in.", default="s")
    lifetime: PositiveDuration | None = about("How long a token is good.", shown="3m")
    header: dict[str, JsonValue] | None = about(
        "Further fields of its header.", examples=[{"sign_type": "SIGN"}]
    )
    claims: dict[str, JsonValue] | None = about("Further claims.")


class AuthSpec(Spec):
    """How a call shows its credential: exactly one scheme, or a list of them.

    Of a list, a call uses the first whose credential is there.
    """

    noun: ClassVar[str] = "auth"

    bearer: SecretRefs | None = about(
        "`Authorization: Bearer KEY`, and where the key is read by default; of several places the first that "
        "is set."
    )
    header: HeaderAuth | None = about("The key in a header.")
    query: QueryAuth | None = about("The key in the URL's query.")
    aws_sigv4: AwsSigV4 | None = about("Signature version 4 of AWS.")
    oauth2_client_credentials: ClientCredentialsAuth | None = about("OAuth 2 client credentials.")
    oauth2_jwt_bearer: JwtBearerAuth | None = about("OAuth 2 with a signed JWT (Google service accounts).")
    saml2_bearer: Saml2BearerAuth | None = about("OAuth 2 with a SAML assertion.")
    token_exchange: TokenExchangeAuth | None = about("A key exchanged for a short-lived token (IBM IAM).")
    azure_entra: EntraAuth | None = about("Microsoft Entra ID.")
    jwt_hs256: KeyJwtAuth | None = about("A JWT made from the key (old Zhipu keys).")
    any_of: Some[AuthMember] | None = about("Several schemes: `auth: [{...}, {...}]` is short for it.")
    pattern: Regex | None = about(
        "What this vendor's keys look like: found in logs and answers, they are masked."
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        none = {"const": "none", "description": "Calls carry no credential."}
        one = handler(schema)
        return {"anyOf": [none, one, {"type": "array", "items": one, "minItems": 1}]}

    @property
    def scheme(self) -> str:
        """The scheme that is written; `none` for none."""
        found = (name for name in (*SCHEMES[1:], "any_of") if getattr(self, name) is not None)
        return next(found, "none")


def _auth(value: Any) -> Any:
    if value == "none":
        return {}
    if isinstance(value, list):
        return {"any_of": value}
    if isinstance(value, dict):
        named = [key for key in value if key in SCHEMES or key == "any_of"]
        if len(named) > 1:
            advice = f"keep one, or write a list to try in turn: [{{{named[0]}: ...}}, {{{named[1]}: ...}}]"
            raise fault("E407", f"`auth` has two schemes: {named[0]} and {named[1]}", advice)
        if value and not named and set(value) <= {"pattern"}:
            raise fault(
                "E407", "`auth` has no scheme", "write bearer: env:NAME, header: {...}, query: {...} or none"
            )
        return value
    if isinstance(value, AuthSpec):
        return value
    raise wrong_type(value, "`none`, a scheme or a list of schemes", "{bearer: env:ACME_API_KEY}")


def _member(value: Any) -> Any:
    found = _auth(value)
    if isinstance(value, list) or (isinstance(found, dict) and (not found or "any_of" in found)):
        raise fault(
            "E407", "a list of schemes holds schemes, not `none` or a list", "write {bearer: env:NAME}"
        )
    return found


AuthMember = Annotated[AuthSpec, BeforeValidator(_member)]
AuthField = Annotated[AuthSpec, BeforeValidator(_auth)]
