"""Nodes driven by hand: outcomes are sent in, effects come out. No loop, no clock, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from types import SimpleNamespace
from typing import Any

import pytest

import engine.kinds.table  # noqa: F401 - a kind behaves once the table names it
from engine.kinds.balance import Balance, Sticky
from engine.kinds.cache import Cache, Semantic
from engine.kinds.classify import Classify, Label
from engine.kinds.effects import (
    Admission,
    Aside,
    Attempt,
    Branch,
    Cached,
    Consult,
    Draw,
    Effect,
    Gather,
    Keep,
    Lookup,
    Measure,
    Next,
    Note,
    Outcome,
    Race,
    Recall,
    Reserve,
    Retain,
    Steps,
    Unfit,
    Variant,
    Wait,
)
from engine.kinds.fallback import Fallback
from engine.kinds.rank import Score
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.split import Layout, Split, SplitArm
from engine.kinds.switch import Arm, Switch
from engine.kinds.use import Use
from engine.kinds.walk import walk
from engine.plan.types import Call, Node
from engine.plan.values import Expr
from engine.policies.shares import change, lay_out, points_of
from engine.upstream.protocol import Whole


def use(name: str, **call: Any) -> Use:
    return Use(id=name, call=Call(**call), deployment=name)


def fallback(*children: Node, id: str = "chain", **call: Any) -> Fallback:
    return Fallback(id=id, call=Call(**call), children=children)


def balance(*children: Node, rank: str = "weight", weights: tuple[float, ...] = (), tries: int | None = None,
            sticky: Sticky | None = None, score: Score | None = None, **call: Any) -> Balance:  # fmt: skip
    shares = weights or (1.0,) * len(children)
    return Balance(id="spread", call=Call(**call), children=children, weights=shares, rank=rank, tries=tries,
                   sticky=sticky, score=score)  # fmt: skip


def sticky(source: str = "key.id", ttl_ms: int = 60_000) -> Sticky:
    return Sticky(when(source), ttl_ms)


def split(*arms: tuple[str, Node], shares: tuple[float | None, ...], ramp: tuple[Any, ...] = (),
          sticky: str | None = None) -> Split:  # fmt: skip
    """Arms by name; `ramp` is steps of (epoch seconds, shares)."""
    points = points_of(shares)
    layouts = [Layout(0, points, lay_out(points))]
    for since, more in ramp:
        points = points_of(more)
        layouts.append(Layout(since, points, change(layouts[-1].stretches, points)))
    made = tuple(SplitArm(name, node) for name, node in arms)
    by = None if sticky is None else when(sticky)
    return Split(id="canary", call=Call(), arms=made, layouts=tuple(layouts), sticky=by)


def when(source: str) -> Expr:
    return Expr(source=source, scope="route", type="bool", ir=["c", source])


def switch(*arms: tuple[str, Node], otherwise: Node) -> Switch:
    made = tuple(Arm(when(source), node) for source, node in arms)
    return Switch(id="switch", call=Call(), arms=made, otherwise=otherwise)


def classify(
    node: Node, via: str, *labels: Label, otherwise: str = "rest", asks: str | None = None
) -> Classify:
    return Classify(
        id="labels", call=Call(), node=node, name="task", via=via, labels=labels, otherwise=otherwise,
        asks=None if asks is None else use(asks),
    )  # fmt: skip


def cache(node: Node, exact_ms: int | None = 60_000, semantic: Semantic | None = None, *, by: str = "key.org",
          within: bool = True) -> Cache:  # fmt: skip
    return Cache(id="kept", call=Call(), node=node, scope_by=when(by), within_org=within, exact_ms=exact_ms,
                 semantic=semantic)  # fmt: skip


def reject(code: str = "not_allowed") -> Reject:
    return Reject(id="no", call=Call(), code=code, status=403, message="Not here.")


def respond(text: str) -> Respond:
    return Respond(id="fixed", call=Call(), text=text)


class Hand:
    """Answers a walk's effects from tables, and keeps what was asked.

    script: deployment -> what its calls give, in order; a failure class, `ok`, or (class, retry_after_ms).
    The last one repeats. `full` says so at the reserve.
    """

    def __init__(
        self,
        script: Mapping[str, list[Any]] | None = None,
        *,
        true: tuple[str, ...] = (),
        unfit: Mapping[str, str] | None = None,
        calls: int | None = None,
        draws: tuple[float, ...] = (),
        measures: Mapping[str, Any] | None = None,
        fits_ms: float = math.inf,
        values: Mapping[str, Any] | None = None,
        now: float = 0.0,
        request: Any = None,
        stream: bool = False,
        view: Mapping[str, Any] | None = None,
        consults: Mapping[str, list[Any]] | None = None,
    ) -> None:
        self.script = {name: list(entries) for name, entries in (script or {}).items()}
        self.true = true
        self.skip = dict(unfit or {})
        self.most = calls
        self.draws = list(draws)
        self.measures = dict(measures or {})
        self.fits_ms = fits_ms
        self.values = dict(values or {})
        self.now = now
        self.request = request or {}
        self.operation = "chat"
        self.stream = stream
        self.labels: dict[str, str] = {}
        self.kept: dict[tuple[str, str], Any] = {}
        self.kept_ms: dict[tuple[str, str], int] = {}
        self.variants: list[str] = []
        self.view = SimpleNamespace(
            **{
                "text": "",
                "input_tokens": 1,
                "language": "",
                "features": frozenset(),
                "turns": 1,
                "header": lambda _: "",
                **(view or {}),
            }
        )
        self.consults = {name: list(entries) for name, entries in (consults or {}).items()}
        self.whys: list[str] = []
        self.answers: dict[str, tuple[float, Outcome]] = {}
        self.cached: list[str] = []
        self.refused: str | None = None
        self.question = ""
        self.org = "acme"
        self.made = 0
        self.turn = 0
        self.called: list[str] = []
        self.attempts: list[Attempt] = []
        self.waits: list[int] = []
        self.measured: list[tuple[str, ...]] = []
        self.notes: list[tuple[str, str]] = []
        self.races: list[tuple[Branch, ...]] = []
        self.gathered: list[tuple[Branch, ...]] = []
        self.consulted: list[Consult] = []
        self.asides: list[Aside] = []

    # the Context
    def test(self, expr: Expr, *more: Any) -> bool:
        if more:
            return bool(self.value(expr, *more))
        name, _, value = expr.source.partition(" is ")
        return expr.source in self.true or (bool(value) and self.labels.get(name) == value)

    def value(self, expr: Expr, *more: Any) -> Any:
        found = self.values[expr.source]
        return found(*more) if callable(found) else found

    def label(self, name: str, value: str) -> Hand:
        made = copy(self)
        made.labels = {**self.labels, name: value}
        return made

    def uncacheable(self) -> str | None:
        return self.refused

    def fingerprint(self, node: Node, scope: Any, *, but_question: bool = False) -> str:
        asked = "" if but_question else self.question
        return "|".join((self.meaning(node), *scope, asked))

    def meaning(self, node: Node) -> str:
        return f"meaning of {node.id}"

    def deployment(self, name: str) -> Any:
        known = {
            "name": name,
            "provider": "acme",
            "model": f"model-{name}",
            "region": "eu",
            "residency": "eu",
        }
        return SimpleNamespace(**known)

    def unfit(self, target: Use) -> Unfit | None:
        failure = self.skip.get(target.deployment)
        return None if failure is None else Unfit(failure, f"{target.deployment}: {failure}")

    def next_attempt(self) -> int | None:
        return None if self.most is not None and self.made >= self.most else self.made + 1

    # the driver
    def walk(self, node: Node) -> Outcome:
        return self.drive(walk(node, self))

    def drive(self, steps: Steps) -> Outcome:
        answer: Any = None
        while True:
            try:
                effect = steps.send(answer)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            answer = self.answer(effect)

    def answer(self, effect: Effect) -> Any:
        if isinstance(effect, Note):
            self.notes.append((effect.node, effect.what))
            self.whys.append(effect.why)
            return None
        if isinstance(effect, Reserve):
            assert effect.attempt == self.made + 1
            full = self._peek(effect.target.deployment) == "full"
            return Admission(None, "full", 700) if full else Admission(effect.attempt)
        if isinstance(effect, Attempt):
            return self._attempt(effect)
        if isinstance(effect, Wait):
            self.waits.append(effect.ms)
            return effect.ms < self.fits_ms
        if isinstance(effect, Draw):
            return self.draws.pop(0) if self.draws else 0.5
        if isinstance(effect, Next):
            self.turn += 1
            return self.turn - 1
        if isinstance(effect, Variant):
            self.variants.append(effect.name)
            return None
        if isinstance(effect, Recall):
            return self.kept.get((effect.space, effect.key))
        if isinstance(effect, Keep):
            self.kept[effect.space, effect.key] = effect.value
            self.kept_ms[effect.space, effect.key] = effect.ttl_ms
            return None
        if isinstance(effect, Cached):
            self.cached.append(effect.what)
            self.whys.append(effect.why)
            return None
        if isinstance(effect, Lookup):
            at, outcome = self.answers.get(effect.key, (-math.inf, None))
            return outcome if (self.now - at) * 1000 < effect.young_ms else None
        if isinstance(effect, Retain):
            if effect.outcome.ok and not effect.outcome.final:
                self.answers[effect.key] = (self.now, effect.outcome)
            return None
        if isinstance(effect, Race):
            self.races.append(effect.branches)
            return self._race([self.drive(branch.steps) for branch in effect.branches])
        if isinstance(effect, Gather):
            self.gathered.append(effect.branches)
            return tuple(self.drive(branch.steps) for branch in effect.branches)
        if isinstance(effect, Consult):
            self.consulted.append(effect)
            name = getattr(effect.node, "deployment", None)
            return self._told(name) if name in self.consults else self.walk(effect.node)
        if isinstance(effect, Aside):
            self.asides.append(effect)
            return None
        assert isinstance(effect, Measure)
        self.measured.append(effect.deployments)
        known = self.measures.get(effect.what, self.measures)
        return tuple(known.get(name, math.nan) for name in effect.deployments)

    def _race(self, outcomes: list[Outcome]) -> Outcome:
        """As if each had failed before the next began."""
        good = next((each for each in outcomes if each.ok or each.final), None)
        return outcomes[-1] if good is None else good

    def _told(self, name: str) -> Outcome:
        """The next scripted reply of a judge or an embedder; a text that begins with `!` is a failure."""
        reply = self.consults[name].pop(0)
        if isinstance(reply, str) and reply.startswith("!"):
            return Outcome(ok=False, failure=reply[1:], deployment=name)
        if isinstance(reply, str):
            message = {"role": "assistant", "content": [{"type": "text", "text": reply}]}
            reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return Outcome(ok=True, deployment=name, attempt=1, reply=Whole(reply))

    def _peek(self, name: str) -> Any:
        return self.script.get(name, ["ok"])[0]

    def _attempt(self, effect: Attempt) -> Outcome:
        name = effect.target.deployment
        self.made += 1
        self.called.append(name)
        self.attempts.append(effect)
        entries = self.script.get(name, ["ok"])
        entry = entries.pop(0) if len(entries) > 1 else entries[0]
        if isinstance(entry, Whole):
            return Outcome(ok=True, deployment=name, attempt=effect.attempt, reply=entry)
        if entry == "ok":
            return Outcome(ok=True, deployment=name, attempt=effect.attempt, reply=f"from {name}")
        failure, after = entry if isinstance(entry, tuple) else (entry, None)
        return Outcome(
            ok=False, failure=failure, message=f"{name}: {failure}", retry_after_ms=after, deployment=name,
            attempt=effect.attempt,
        )  # fmt: skip


class Kit:
    use = staticmethod(use)
    fallback = staticmethod(fallback)
    balance = staticmethod(balance)
    split = staticmethod(split)
    sticky = staticmethod(sticky)
    when = staticmethod(when)
    Score = Score
    Semantic = Semantic
    cache = staticmethod(cache)
    Label = Label
    classify = staticmethod(classify)
    switch = staticmethod(switch)
    reject = staticmethod(reject)
    respond = staticmethod(respond)
    Hand: Callable[..., Hand] = Hand


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    return Kit
