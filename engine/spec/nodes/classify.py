"""`classify: NODE`: labels a request; expressions below read `label.NAME`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator
from typing_extensions import TypeAliasType

from engine.kinds.classify import Classify
from engine.kinds.classify import Label as Found
from engine.policies.language import LANGUAGES
from engine.spec.containers import Mapped
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.names import DeploymentName, Word
from engine.spec.nodes.node import CallingNode, Child, NodeSpec
from engine.spec.nodes.use import UseNode
from engine.units import UnitError, count

#: The label for what is left.
ELSE: Final = "else"
#: Who is asked, by `via`: the field that names it.
_ASKS: Final = {"embedding": "embed", "model": "judge"}


def _label(value: Any) -> str | tuple[str, ...]:
    """`else`, a text (a description, a bound) or a list of texts."""
    if isinstance(value, list | tuple):
        if not value:
            raise fault("E114", "the list is empty", "name at least one, or write `else`")
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item.strip():
                raise fault("E102", "only texts stand in a label's list", "write it in quotes", at=(index,))
        return tuple(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
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
                "description": "Texts that stand for a label, a bound, or `else`.",
                "anyOf": [
                    {"type": "string"},
                    {"type": "number", "minimum": 0},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1},
                ],
            }
        ),
    ],
)


class ClassifyNode(CallingNode):
    """Gives a request one label of a set, by `via`, and goes on to the node below.

    What stands for a label, by `via`. `keywords`: keywords, of which one is in the user's text, in any case.
    `length`: the most input tokens, like `2k`. `language`: ISO 639-1 codes, like `de`. `complexity`: the most
    of it, from 0 to 1. `embedding`: a description, or examples. `model`: a description.
    """

    kind: ClassVar[str] = "classify"
    noun: ClassVar[str] = "node.classify"
    example: ClassVar[str] = (
        '{classify: best, as: task, via: keywords, labels: {code: ["traceback", "def "], prose: else}}'
    )

    classify: Child = about("The node below.", required=True, examples=["best"])
    name: Word = about(
        "The label's name: expressions below read `label.NAME`.", required=True, alias="as", examples=["task"]
    )
    via: Literal["keywords", "length", "language", "complexity", "embedding", "model"] = about(
        "How it is found. `keywords`: the first label with a keyword in the text wins. `length`, "
        "`complexity`: the label with the lowest bound that holds. `embedding`: the label with the text most "
        "like the user's. `model`: the one that the judge names.",
        required=True,
        examples=["keywords"],
    )
    labels: Mapped[Word, Label] = about(
        "The labels, each with what stands for it; one is `else`: for what is left, and where nobody could "
        "be asked.",
        required=True,
        examples=[{"code": ["traceback", "def "], "prose": "else"}],
    )
    judge: DeploymentName | None = about("Under `via: model`: who is asked.")
    embed: DeploymentName | None = about("Under `via: embedding`: who embeds.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rest = [name for name, said in self.labels.items() if said == ELSE]
        if len(rest) != 1:
            raise fault(
                "E113",
                f"{'no label is' if not rest else 'more than one label is'} `else`",
                "write one label `else`: it is given to what no other label fits",
                at=("labels",) if not rest else ("labels", rest[1]),
            )
        for via, field in _ASKS.items():
            given = getattr(self, field) is not None
            if given and self.via != via:
                raise fault(
                    "E113", f"`{field}` does nothing under `via: {self.via}`", "remove it", at=(field,)
                )
            if not given and self.via == via:
                raise fault("E107", f"`via: {via}` needs `{field}`", f"name a deployment: `{field}: NAME`")
        found = self._found()
        if self.via == "embedding" and len(found) == 1:
            raise fault(
                "E113",
                f"every text is most like `{found[0].name}`: no other label is described",
                "describe another one too; `else` is for what could not be embedded",
                at=("labels",),
            )
        return self

    def _found(self) -> tuple[Found, ...]:
        """The labels but `else`, read as `via` says, in the order in which they are asked."""
        read = _READERS[self.via]
        found = [read(name, said) for name, said in self.labels.items() if said != ELSE]
        if all(label.most is not None for label in found):
            found.sort(key=lambda label: label.most or 0.0)
        for before, label in pairwise(found):
            if label.most is not None and before.most == label.most:
                raise fault(
                    "E113",
                    f"`{before.name}` and `{label.name}` have the same bound",
                    "give each its own",
                    at=("labels", label.name),
                )
        return tuple(found)

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        yield ("classify",), self.classify

    def consults(self) -> Iterator[tuple[Path, str]]:
        for field in _ASKS.values():
            if (name := getattr(self, field)) is not None:
                yield (field,), name

    def lower(self, low: Lowering, path: Path) -> Classify:
        asks = next((low.node(UseNode(use=name), (*path, *below)) for below, name in self.consults()), None)
        return Classify(
            low.id(path),
            low.call(self, path),
            low.node(self.classify, (*path, "classify")),
            self.name,
            self.via,
            self._found(),
            next(name for name, said in self.labels.items() if said == ELSE),
            asks,
        )


def _texts(name: str, said: Any) -> Found:
    return Found(name, said if isinstance(said, tuple) else (said,))


def _languages(name: str, said: Any) -> Found:
    label = _texts(name, said)
    for code in label.texts:
        if code not in LANGUAGES:
            raise fault(
                "E113",
                f"{shown(code)} is no language that is told apart here",
                f"there is: {', '.join(LANGUAGES)}",
                at=("labels", name),
            )
    return label


def _tokens(name: str, said: Any) -> Found:
    try:
        return Found(name, most=float(count(_one(name, said, "2k"))))
    except UnitError as error:
        raise fault("E103", error.message, error.help, at=("labels", name)) from None


def _share(name: str, said: Any) -> Found:
    text = _one(name, said, "0.3")
    try:
        most = float(text)
    except ValueError:
        most = -1.0
    if not 0 <= most <= 1:
        raise fault("E112", f"{shown(text)} is no number from 0 to 1", at=("labels", name))
    return Found(name, most=most)


def _one(name: str, said: Any, example: str) -> str:
    if isinstance(said, tuple):
        raise fault("E102", "a bound is one number", f"write it like {example}", at=("labels", name))
    return str(said)


_READERS: Final = {
    "keywords": _texts,
    "length": _tokens,
    "language": _languages,
    "complexity": _share,
    "embedding": _texts,
    "model": _texts,
}
