"""`costs` of a dialect: by which fields of its requests a client may spend what no price knows."""

from __future__ import annotations

from typing import ClassVar

from engine.spec.containers import Listed
from engine.spec.model import Spec, about
from engine.spec.plain import JsonValue, Text


class DearerSpec(Spec):
    """A field by which a call gets dearer than its price, or ends where nobody sees what it cost."""

    noun: ClassVar[str] = "dearer field"

    field: Text = about("A field of the body, or a dotted path.", required=True, examples=["service_tier"])
    usual: Listed[JsonValue] | None = about(
        "Values that cost what the price says, or less; texts in any case.", shown="none but false and null"
    )
    most: Text | None = about(
        "The field is a number, and may be as large as the field of this name (1 where that is absent)."
    )
    why: Text | None = about(
        "Why others are refused, as the client is told.", shown="the price of that is not known"
    )


class HostedSpec(Spec):
    """Tools that the vendor runs: how a request bounds their use, and what an answer tells of it."""

    noun: ClassVar[str] = "hosted tools"

    uses: Text | None = about("The field of such a tool that says how often it is used at most.")
    all_uses: Text | None = about("The field of the body that says so of all of them together.")
    told: Listed[Text] | None = about(
        "Tools of whose uses `tool_uses` of the usage tells: where it names none, there was none."
    )


class CostsSpec(Spec):
    """What requests of a format may cost beside their tokens. Looked at where money is counted."""

    noun: ClassVar[str] = "costs"

    dearer: Listed[DearerSpec] | None = about("Fields that are refused there, but for their usual values.")
    elsewhere: Listed[Text] | None = about(
        "Fields (`input.type=item_reference`: a path and the value there) by which the vendor reads what is "
        "not in the request: its input is bounded by what the model reads at most."
    )
    hosted: HostedSpec | None = about("Tools that the vendor runs.")
