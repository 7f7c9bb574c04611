"""`classify: NODE`: labels a request; switches inside read `label.NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from engine.spec.containers import Mapped
from engine.spec.fault import fault, wrong_type
from engine.spec.lowering import Path
from engine.spec.model import about
from engine.spec.names import DeploymentName, Word
from engine.spec.nodes.node import CallingNode, Child, NodeSpec


def _label(value: Any) -> str | tuple[str, ...]:
    """`else`, a text (a description, an expression, a bound) or a list of texts."""
    if isinstance(value, list | tuple):
        if not value:
            raise fault("E114", "the list is empty", "name at least one, or write `else`")
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise fault("E102", "only texts stand in a label's list", "write it in quotes", at=(index,))
        return tuple(value)
    if not isinstance(value, str) or not value.strip():
        raise wrong_type(value, "a label's texts", '["traceback", "def "] or else')
    return value


Label = TypeAliasType(
    "Label",
    Annotated[
        Any,
        BeforeValidator(_label),
        WithJsonSchema(
            {
                "description": "Texts that stand for a label, or `else`.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
            }
        ),
    ],
)


class ClassifyNode(CallingNode):
    """Gives a request one label of a set, by `via`, and goes on to the node below."""

    kind: ClassVar[str] = "classify"
    noun: ClassVar[str] = "node.classify"
    example: ClassVar[str] = (
        '{classify: best, as: task, via: keywords, labels: {code: ["traceback", "def "], prose: else}}'
    )

    classify: Child = about("The node below.", required=True, examples=["best"])
    name: Word = about(
        "The label's name: switches inside read `label.NAME`.", required=True, alias="as", examples=["task"]
    )
    via: Literal["keywords", "length", "language", "complexity", "embedding", "model"] = about(
        "How it is found. `keywords`: the first label with a keyword in the text wins.",
        required=True,
        examples=["keywords"],
    )
    labels: Mapped[Word, Label] = about(
        "The labels, each with what stands for it; `else` for what is left.",
        required=True,
        examples=[{"code": ["traceback", "def "], "prose": "else"}],
    )
    judge: DeploymentName | None = about("Under `via: model`: who is asked.")
    embed: DeploymentName | None = about("Under `via: embedding`: who embeds.")

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        yield ("classify",), self.classify
