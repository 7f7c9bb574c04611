"""`guards:` what may not go in, and what may not come out."""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import TypeAliasType

from engine.spec.containers import Some
from engine.spec.model import Spec, about
from engine.spec.plain import Flag

Detector = TypeAliasType("Detector", Literal["secrets", "email", "phone", "iban", "payment_card"])


class Guard(Spec):
    """Looks for things in a request or an answer, and does something where it finds them."""

    noun: ClassVar[str] = "guard"

    detect: Some[Detector] = about("What is looked for.", required=True, examples=[["email", "phone"]])
    where: Some[Literal["request", "response"]] = about(
        "Where: on the way in, on the way out.", required=True, alias="in", examples=[["request", "response"]]
    )
    action: Literal["reject", "mask", "warn"] = about(
        "What happens. `reject` on responses needs `switch_until: complete`.",
        required=True,
        examples=["mask"],
    )
    on_error: Literal["reject", "allow"] = about(
        "When the guard itself fails.", default="reject", shown="reject"
    )
    unread: Literal["reject", "allow"] = about(
        "For what it cannot read (images, audio, files) and `admit` lets in.",
        default="reject",
        shown="reject",
    )
    unmask: Flag = about("Puts masked values back into the answer.", default=False, shown="false")
