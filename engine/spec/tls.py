"""`tls:` of engine.yaml: the certificate of `listen`, and whose certificates clients show."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, model_validator

from engine.plan.values import Secret
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.plain import Flag
from engine.spec.secret import SecretRef


def _file(value: Secret) -> Secret:
    if value.source != "file":
        raise fault(
            "E291",
            f"`{value.source}:` names no file, and certificates and their keys are read from files",
            "write file:/etc/engine/tls.pem",
        )
    return value


#: A secret that lies in a file, which is looked at again when it changes.
SecretFile = Annotated[SecretRef, AfterValidator(_file)]


class Tls(Spec):
    """TLS 1.2 or later on `listen`. The files are looked at again as they change; nobody is disconnected."""

    noun: ClassVar[str] = "tls"

    certificate: SecretFile = about(
        "The certificate and those between it and its authority, as PEM.",
        required=True,
        examples=["file:/etc/engine/tls.pem"],
    )
    key: SecretFile = about(
        "The certificate's private key, as PEM, without a password.",
        required=True,
        examples=["file:/etc/engine/tls.key"],
    )
    clients: SecretFile | None = about(
        "The authorities of clients' certificates, as PEM. Clients are asked for one then; who they are "
        "`keys.mtls` says.",
        shown="clients are asked for none",
        examples=["file:/etc/engine/clients.pem"],
    )
    client_required: Flag | None = about(
        "Whether a client without a certificate is disconnected before it could ask anything.",
        shown="true, where `clients` is written",
    )

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if self.client_required is not None and self.clients is None:
            raise fault(
                "E291",
                "`client_required` says that clients show certificates, and no authority of theirs is named",
                "add `clients: file:/etc/engine/clients.pem`",
                at=("client_required",),
            )
        return self
