"""What a credential may give each auth scheme: its slots, by the names that a workspace writes.

A credential fits a scheme if it gives nothing else. `SECRET` slots name a place where the text is read;
`PLAIN` ones may stand in the file as well: they tell who somebody is, and prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Scheme -> the slots it reads.
SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "none": (),
    "bearer": ("secret",),
    "header": ("secret",),
    "query": ("secret",),
    "jwt_hs256": ("secret",),
    "token_exchange": ("secret", "client_id", "client_secret"),
    "oauth2_client_credentials": ("client_id", "client_secret"),
    "saml2_bearer": ("assertion", "client_id", "client_secret"),
    "oauth2_jwt_bearer": ("service_account", "private_key", "issuer", "key_id", "subject"),
    "azure_entra": ("tenant", "client_id", "client_secret", "certificate", "token_file"),
    "aws_sigv4": (
        "access_key", "secret_key", "session_token", "profile", "role", "external_id", "session_name",
        "token_file",
    ),
}  # fmt: skip

#: Scheme -> sets of slots of which a credential must fill one whole.
NEEDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "bearer": (("secret",),),
    "header": (("secret",),),
    "query": (("secret",),),
    "jwt_hs256": (("secret",),),
    "token_exchange": (("secret",),),
    "oauth2_client_credentials": (("client_id", "client_secret"),),
    "saml2_bearer": (("assertion",),),
    "oauth2_jwt_bearer": (("service_account",), ("private_key", "issuer")),
    "azure_entra": (
        ("client_id", "client_secret"), ("client_id", "certificate"), ("client_id", "token_file"),
        ("client_id",),
    ),
    "aws_sigv4": (("access_key", "secret_key"), ("profile",), ("role",)),
}  # fmt: skip

#: Schemes that find a credential on the machine where neither the workspace nor the provider file names one.
FINDS_ITS_OWN: Final = frozenset({"aws_sigv4"})
