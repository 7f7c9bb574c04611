"""`alerts:` who is told."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from engine.spec.containers import Some
from engine.spec.fault import fault
from engine.spec.model import Spec, about
from engine.spec.plain import Text
from engine.spec.secret import SecretRef

_WAYS = ("webhook", "pagerduty", "email", "log")


class Alert(Spec):
    """One way to tell somebody."""

    noun: ClassVar[str] = "alert"

    webhook: SecretRef | None = about(
        "Posts to this address; it is a secret.", examples=["env:OPS_WEBHOOK_URL"]
    )
    format: Literal["slack", "json"] | None = about("The webhook's form.", shown="json")
    pagerduty: SecretRef | None = about("Opens an incident with this routing key.")
    email: Some[Text] | None = about("Mails these addresses.")
    log: Literal["info", "warning", "error"] | None = about("Writes a line to the log, at this level.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [key for key in _WAYS if getattr(self, key) is not None]
        if not given:
            raise fault("E107", "the alert tells nobody", "give it `webhook`, `pagerduty`, `email` or `log`")
        if len(given) > 1:
            raise fault(
                "E113", f"`{given[0]}` and `{given[1]}` exclude each other", "make two alerts", at=(given[1],)
            )
        if self.format is not None and self.webhook is None:
            raise fault("E113", "`format` does nothing without `webhook`", "remove it", at=("format",))
        return self
