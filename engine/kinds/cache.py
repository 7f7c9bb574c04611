"""`cache: NODE`: answers from what was answered before.

| request | what happens |
|---|---|
| may not be cached (`Context.uncacheable`) | bypass: the node below is asked, nothing is kept |
| `cache-control: no-cache` from the client | miss: nothing is looked for, the answer is kept |
| the very same as before, within `exact` | hit |
| the last user message nearly as before, all else the same, within `semantic.ttl` | hit |
| else | miss: the node below is asked, and its answer kept if it is a good one |

The same means: the canonical request but for what shapes no answer, the same scope (`scope_by`), the same
targets below that it is led to and may use, and nothing edited below since (`Context.meaning`), at the same
cache. A cache never fails a request: where the embedder does not answer, it is a miss.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from engine.kinds.effects import Cached, Context, Effect, Keep, Lookup, Outcome, Recall, Retain, Steps
from engine.kinds.labelling import embedded
from engine.kinds.use import Use
from engine.kinds.walk import Rest, targets, walk
from engine.plan.types import Node
from engine.plan.values import Expr
from engine.policies.vectors import Vector, likest, signs

#: Questions that one semantic cache remembers for one scope and one set of other circumstances.
MOST_QUESTIONS: Final = 200
_QUESTIONS: Final = "cached questions"

#: What is remembered of a question: when it was asked (epoch seconds), the key of its answer, its vector with
#: the signs in it.
Question = tuple[float, str, int, Vector]


@dataclass(frozen=True, slots=True)
class Semantic:
    """Takes answers to questions at least so like this one, from -1 to 1, that are not older than that."""

    above: float
    ttl_ms: int
    embed: Node


@dataclass(frozen=True, slots=True)
class Cache(Node):
    """What is kept for how long. `within_org`: among keys of one organisation, whatever `scope_by` says."""

    kind: ClassVar[str] = "cache"
    node: Node
    scope_by: Expr
    within_org: bool
    exact_ms: int | None = None
    semantic: Semantic | None = None


def steps(node: Cache, ctx: Context, rest: Rest | None) -> Steps:
    """Look for an answer; else ask the node below and keep what it says."""
    why = ctx.uncacheable()
    if why is not None:
        yield Cached(node.id, "bypass", why)
        return (yield from walk(node.node, ctx, rest))
    scope = (*_scope(node, ctx), *_able(node, ctx))
    key = ctx.fingerprint(node, scope)
    fresh = "no-cache" in ctx.view.header("cache-control")
    if not fresh:
        found = yield from _exact(node, key)
        if found is not None:
            return found
    near = None
    if node.semantic is not None:
        near = ctx.fingerprint(node, (*scope, "semantic"), but_question=True)
        found = yield from _near(node.id, node.semantic, near, key, fresh, ctx)
        if found is not None:
            return found
    yield Cached(node.id, "miss", "the client wants it anew" if fresh else "nothing like it is kept")
    outcome = yield from walk(node.node, ctx, rest)
    yield Retain(key, _longest(node), outcome)
    return outcome


def below(node: Cache, ctx: Context) -> Iterator[Use]:
    """Those of the node below: they are asked where nothing is kept."""
    return targets(node.node, ctx)


def _scope(node: Cache, ctx: Context) -> tuple[str, ...]:
    value = str(ctx.value(node.scope_by))
    return ("org", ctx.org, value) if node.within_org else ("any", value)


def _able(node: Cache, ctx: Context) -> list[str]:
    """The deployments that could answer this request: who may not use one gets no answer of it either."""
    return sorted({use.deployment for use in targets(node.node, ctx) if ctx.unfit(use) is None})


def _longest(node: Cache) -> int:
    semantic = 0 if node.semantic is None else node.semantic.ttl_ms
    return max(node.exact_ms or 0, semantic)


def _exact(node: Cache, key: str) -> Generator[Effect, Any, Outcome | None]:
    """The answer to the very same request, while it is young enough."""
    # A semantic cache knows the same question too, without embedding it.
    found: Outcome | None = yield Lookup(key, _longest(node))
    if found is not None:
        yield Cached(node.id, "hit", f"the same request; {found.deployment} answered it")
    return found


def _near(
    node: str, semantic: Semantic, place: str, key: str, fresh: bool, ctx: Context
) -> Generator[Effect, Any, Outcome | None]:
    """The answer to the likest question, if it is like enough; else this question is remembered."""
    vectors = yield from embedded(semantic.embed, [ctx.question], ctx, "embed")
    if isinstance(vectors, str):
        return None
    (own,) = vectors
    known: tuple[Question, ...] = (yield Recall(_QUESTIONS, place)) or ()
    young = [each for each in known if (ctx.now - each[0]) * 1000 < semantic.ttl_ms]
    liked = [] if fresh else likest(own, [each[2:] for each in young])
    for likeness, index in liked:
        if likeness < semantic.above:
            break
        found: Outcome | None = yield Lookup(young[index][1], semantic.ttl_ms)
        if found is not None:
            yield Cached(node, "hit", f"a question alike by {likeness:.3f}; {found.deployment} answered it")
            return found
    mine = (ctx.now, key, signs(own), own)
    others = tuple(each for each in young if each[1] != key)
    yield Keep(_QUESTIONS, place, (*others, mine)[-MOST_QUESTIONS:], semantic.ttl_ms)
    return None
