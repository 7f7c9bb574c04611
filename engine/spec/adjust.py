"""`adjust:` what becomes of a canonical request that a format, a vendor or a model cannot take as it is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import PlainValidator, WithJsonSchema, model_validator

from engine.spec.containers import Mapped, Some
from engine.spec.fault import fault, wrong_type
from engine.spec.model import Spec, about
from engine.spec.plain import JsonValue, Text

#: What a rule can do; each rule does one of them.
ACTIONS = ("drop", "clamp", "map", "refuse")


def _bounds(value: Any) -> tuple[float | None, float | None]:
    def number(item: Any) -> bool:
        return item is None or (isinstance(item, int | float) and not isinstance(item, bool))

    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(number, value)):
        raise wrong_type(value, "two numbers, the lowest and the highest,", "[0, 1] or [16, null]")
    low, high = value
    if low is None and high is None:
        raise fault("E112", "bounds that are both open bound nothing", "write a number on one side")
    if low is not None and high is not None and low > high:
        raise fault("E112", f"the lowest, {low}, is above the highest, {high}", "write the lowest first")
    return low, high


Bounds = Annotated[
    tuple[float | None, float | None],
    PlainValidator(_bounds),
    WithJsonSchema(
        {
            "description": "The lowest and the highest value; null: open.",
            "type": "array",
            "items": {"type": ["number", "null"]},
            "minItems": 2,
            "maxItems": 2,
        }
    ),
]


class AdjustSpec(Spec):
    """One rule over the canonical request, before the body is written: exactly one of `drop`, `clamp`, `map`,
    `refuse`. Fields are dotted canonical names, lists passed through: `reasoning.effort`, `tools.strict`.
    """

    noun: ClassVar[str] = "adjust rule"

    drop: Some[Text] | None = about(
        "Canonical fields that are left out.", examples=[["temperature", "top_p"]]
    )
    clamp: Mapped[Text, Bounds] | None = about(
        "Canonical field to its lowest and highest value.", examples=[{"temperature": [0, 1]}]
    )
    map: Mapped[Text, Mapped[Text, JsonValue]] | None = about(
        "Canonical field to other words for its words; null leaves the field out.",
        examples=[{"reasoning.effort": {"max": "xhigh"}}],
    )
    refuse: Text | None = about(
        "A condition: requests for which it holds are not sent there (failure `unsupported`)."
    )
    why: Text | None = about("Why they are refused, for people.", shown="the condition")
    when: Text | None = about(
        "The rule applies where this holds. Sees `request`, `facts`, `target`, `provider`.", shown="always"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        said = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(said) != 1:
            what = f"both `{said[0]}` and `{said[1]}`" if said else "nothing to do"
            raise fault("E107", f"an adjust rule has {what}", "write one of drop, clamp, map, refuse")
        if self.why is not None and self.refuse is None:
            raise fault("E110", "`why` is read with `refuse` only", "remove it", at=("why",))
        return self
