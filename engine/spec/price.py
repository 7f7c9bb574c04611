"""`price:` on a deployment: what its calls cost, by whoever pays for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, PlainValidator, Tag, WithJsonSchema, model_validator

from engine.plan.vendors import ToolPrice
from engine.spec.amounts import Count, Money, Price
from engine.spec.fault import fault, wrong_type
from engine.spec.model import Spec, about
from engine.spec.plain import Text


class ToolPriceSpec(Spec):
    """What a tool costs that the vendor runs."""

    noun: ClassVar[str] = "tool price"

    use: Money = about("Of each use.", required=True, examples=["$0.01"])
    most: Count | None = about(
        "How often a call uses it at most, where the request does not say. A request that asks for more is "
        "refused. 0: the client runs it, and nothing is billed but tokens.",
        shown="nobody knows: the request must say",
    )
    reads: Count | None = about(
        "Tokens that a use brings into the input at most.", shown="as many as the model reads"
    )


def _tool_form(value: Any) -> str:
    return "form:map" if isinstance(value, dict | ToolPriceSpec) else "form:use"


ToolPriceField = Annotated[
    Annotated[Money, Tag("form:use")] | Annotated[ToolPriceSpec, Tag("form:map")],
    Discriminator(_tool_form),
]


def tool_prices(written: Mapping[str, int | ToolPriceSpec] | None) -> dict[str, ToolPrice]:
    """As a plan has them."""
    return {
        name: ToolPrice(each) if isinstance(each, int) else ToolPrice(each.use, each.most, each.reads)
        for name, each in (written or {}).items()
    }


class Prices(Spec):
    """What calls of a deployment cost. What is not written here is as the facts know it.

    A deployment that is paid by its time (`second`) costs nothing by the token, unless that is written too.
    """

    noun: ClassVar[str] = "price"

    input: Price | None = about("Of input tokens.", examples=["$0.15/M"])
    output: Price | None = about("Of output tokens.", examples=["$0.60/M"])
    cached: Price | None = about("Of input tokens read from the vendor's cache.", shown="as `input`")
    cache_write: Price | None = about("Of input tokens written to its cache.", shown="as `input`")
    request: Money | None = about("Of a call, whatever its tokens.", shown="$0", examples=["$0.001"])
    second: Money | None = about(
        "Of a second that a call takes: a server of your own, or a local model. At worst a call takes its "
        "`timeout.total`.",
        shown="$0",
        examples=["$0.0001"],
    )
    tools: dict[Text, ToolPriceField] | None = about(
        "Of tools that the vendor runs, by the beginning of their `type`: of a use, or how many there may be "
        "as well.",
        shown="as the provider file says",
        examples=[{"web_search": "$0.01"}, {"web_search": {"use": "$0.01", "most": 5, "reads": "20k"}}],
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise fault("E107", "the price says nothing", "write `input` and `output`, `second`, or `free`")
        return self


def _form(value: Any) -> str:
    return "form:map" if isinstance(value, dict | Prices) else "form:word"


def _word(value: Any) -> Any:
    if value not in ("free", "unknown"):
        raise wrong_type(value, "`free`, `unknown` or a map", "{input: $0.15/M, output: $0.60/M}")
    return value


_Word = Annotated[
    Literal["free", "unknown"], PlainValidator(_word), WithJsonSchema({"enum": ["free", "unknown"]})
]

DeploymentPrice = Annotated[
    Annotated[_Word, Tag("form:word")] | Annotated[Prices, Tag("form:map")],
    Discriminator(_form),
]
