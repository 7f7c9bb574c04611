"""`classify: NODE`: labels a request; expressions below read `label.NAME`.

| via | a label stands for | the label taken |
|---|---|---|
| keywords | keywords | the first in the file's order with one in the user's text, in any case |
| length | so many input tokens at most | the one with the lowest bound that holds |
| language | ISO 639-1 codes | the one with the text's language (`policies/language.py`) |
| complexity | so much at most, 0 to 1 | the one with the lowest bound that holds (`policies/complexity.py`) |
| embedding | a description or examples | the one with the text most like the user's |
| model | a description | the one that the judge names |

One label is `else`: for what is left, and for what an embedder or a judge could not tell. It never fails a
request.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.kinds.effects import Context, Effect, Note, Steps
from engine.kinds.labelling import by_embedding, by_model
from engine.kinds.use import Use
from engine.kinds.walk import Rest, walk
from engine.kinds.walk import targets as targets_of
from engine.plan.types import Node
from engine.policies.complexity import complexity


@dataclass(frozen=True, slots=True)
class Label:
    """A label but `else`: the texts that stand for it, or its bound."""

    name: str
    texts: tuple[str, ...] = ()
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Classify(Node):
    """Labels in the order in which they are asked; `otherwise` is the one for the rest.

    asks: who embeds or judges, where `via` needs somebody.
    """

    kind: ClassVar[str] = "classify"
    node: Node
    name: str
    via: str
    labels: tuple[Label, ...]
    otherwise: str
    asks: Node | None = None


def steps(node: Classify, ctx: Context, rest: Rest | None) -> Steps:
    """Find the label, then walk the node below with it."""
    label, why = yield from _found(node, ctx)
    yield Note(node.id, "labelled", f"{node.name} is {label}: {why}")
    return (yield from walk(node.node, ctx.label(node.name, label), rest))


def targets(node: Classify, ctx: Context) -> Iterator[Use]:
    """Those below the label; of all labels, where only asking somebody would tell."""
    if node.asks is None:
        return targets_of(node.node, ctx.label(node.name, _told(node, ctx)[0]))
    names = (*(label.name for label in node.labels), node.otherwise)
    found = (use for name in names for use in targets_of(node.node, ctx.label(node.name, name)))
    return iter(dict.fromkeys(found))


def _found(node: Classify, ctx: Context) -> Generator[Effect, Any, tuple[str, str]]:
    """The label, and why."""
    if node.asks is None:
        return _told(node, ctx)
    labels = [(label.name, label.texts) for label in node.labels]
    if node.via == "embedding":
        return (yield from by_embedding(node.asks, labels, node.otherwise, ctx))
    return (yield from by_model(node.asks, labels, node.otherwise, ctx))


def _told(node: Classify, ctx: Context) -> tuple[str, str]:
    """The label by a rule over the request alone."""
    if node.via == "keywords":
        return _by_keywords(node, ctx.view.text.casefold())
    if node.via == "language":
        language = ctx.view.language
        known = next((label.name for label in node.labels if language in label.texts), node.otherwise)
        return known, f"the text is in {language or 'no language that is known here'}"
    if node.via == "length":
        amount = float(ctx.view.input_tokens)
        why = f"{ctx.view.input_tokens} input tokens"
    else:
        amount = complexity(ctx.view.text, ctx.view.input_tokens, ctx.view.features, ctx.view.turns)
        why = f"a complexity of {amount:.2f}"
    fits = (label.name for label in node.labels if label.most is not None and amount <= label.most)
    return next(fits, node.otherwise), why


def _by_keywords(node: Classify, text: str) -> tuple[str, str]:
    for label in node.labels:
        for keyword in label.texts:
            if keyword.casefold() in text:
                return label.name, f"the text has {keyword!r}"
    return node.otherwise, "the text has no keyword"
