"""`price:` on a deployment: what its calls cost, by whoever pays for them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, PlainValidator, Tag, WithJsonSchema, model_validator

from engine.spec.amounts import Money, Price
from engine.spec.fault import fault, wrong_type
from engine.spec.model import Spec, about


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
