"""`overhead` of a model: what requests cost beside their text, as bounds from above."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Tag

from engine.spec.amounts import Count, PositiveCount
from engine.spec.containers import Listed
from engine.spec.model import Spec, about
from engine.spec.plain import Positive, Text, Weight


class ImageSpec(Spec):
    """How many tokens a model makes of an image at most: `base` and `times` its patches."""

    noun: ClassVar[str] = "image overhead"

    most: PositiveCount = about(
        "Patches of the largest image; all of them count where its size is unknown.", required=True
    )
    patch: Positive | None = about("Pixels of a patch's side.", shown="unknown: `most` patches count")
    times: Weight = about("Tokens of a patch.", default=1.0)
    base: Count = about("Tokens of any image.", default=0)
    least: Count = about("Patches of the smallest image: some vendors make small ones larger.", default=0)


def _image_form(value: Any) -> str:
    return "form:map" if isinstance(value, dict | ImageSpec) else "form:count"


ImageOverhead = Annotated[
    Annotated[PositiveCount, Tag("form:count")] | Annotated[ImageSpec, Tag("form:map")],
    Discriminator(_image_form),
]


class OverheadSpec(Spec):
    """Tokens of input beside the text: bounds from above, by which budgets reserve."""

    noun: ClassVar[str] = "overhead"

    message: Count | None = about("Of each message.", shown="8")
    part: Count | None = about("Of each part of one.", shown="4")
    tools: Count | None = about("Of all tools together, where there are any.", shown="400")
    tool: Count | None = about("Of each tool.", shown="16")
    hosted: Count | None = about("Of each tool that the vendor knows by its type.", shown="2000")
    image: ImageOverhead | None = about(
        "Of an image: tokens at most, or how its pixels make them. What is known of models by their names "
        "is in providers.d/facts/overheads.yaml.",
        shown="by the model's name; 50000 where nobody knows it",
    )
    request: Count | None = about("Of a request.", shown="16")


class OverheadRule(Spec):
    """One rule of providers.d/facts/overheads.yaml: an overhead for models by their names."""

    noun: ClassVar[str] = "overhead rule"

    models: Listed[Text] = about(
        "Patterns over a model's name in small letters; `*` is anything.", required=True
    )
    overhead: OverheadSpec = about("What they cost beside the text.", required=True)
    source: Text = about("Who says so.", required=True)


class OverheadFile(Spec):
    """providers.d/facts/overheads.yaml."""

    noun: ClassVar[str] = "overheads"

    rules: Listed[OverheadRule] = about("The first that names a model counts, key by key.", required=True)
