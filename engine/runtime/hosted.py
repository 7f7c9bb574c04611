"""Tools that a vendor runs: what a request's may come to at a target, and what those that ran cost.

They are billed by the use, beside the tokens; and after each use the model reads the whole of its input
again, with what the tool found. So a call that may use tools `uses` times is bounded by `uses` more readings.
How often that is, the request says where its format has a field for it and the target speaks that format
(`costs.hosted` of the dialect), else the tool's price (`most`). Where nobody says what a use costs, or how
often it may happen, there is no bound, and where that is counted no call is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.errors import NotAdmitted
from engine.kinds.outline import answering
from engine.kinds.use import Use
from engine.plan.vendors import Hosted, ToolPrice
from engine.wire.canonical import Tool, Usage
from engine.wire.costs import hosted_names
from engine.wire.pricing import is_free, tool_key, tool_price

if TYPE_CHECKING:
    from engine.runtime.place import Place
    from engine.runtime.run import Run

_NONE: Final = Hosted()


@dataclass(frozen=True, slots=True)
class Named:
    """A tool of a request. most: how often it is used at most; None: nobody says."""

    name: str
    price: ToolPrice | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Tools:
    """Those of a request, at one target.

    cost: nano-dollars of their uses at most; None: nobody knows. uses: how often all of them are used at
    most; None: nobody knows. reads: tokens that a use brings into the input at most; None: as many as the
    model reads. why: what is missing, for the client.
    """

    named: tuple[Named, ...]
    cost: int | None
    uses: int | None
    reads: int | None
    why: str = ""

    def input(self, told: int, written: int, context: int) -> int:
        """Tokens that are read at most, over all readings. told: of the request; written: of the answer."""
        again = self.uses or 0
        if not again:
            return told
        longest = context if self.reads is None else min(context, told + again * self.reads + written)
        return told + again * max(told, longest)


def tools_of(run: Run, place: Place) -> Tools | None:
    """What the vendors' own tools of a request may come to there. None: it has none, or nothing that is done
    there costs anything, or is to be counted (`price: unknown`).
    """
    facts = place.deployment.facts
    if run.inbound.operation != "chat" or place.deployment.uncounted or is_free(facts):
        return None
    tools = [tool for tool in run.request.get("tools", ()) if "hosted" in tool]
    if not tools:
        return None
    face = run.face(place).dialect
    hosted = _NONE if face is None else run.snapshot.dialect(face).costs.hosted
    own = face is not None and face == run.inbound.dialect
    named: list[Named] = []
    for tool in tools:
        for name in hosted_names(tool["hosted"]):
            price = tool_price(facts, name)
            asked = _asked(tool, hosted) if tool.get("origin", run.inbound.dialect) == face else None
            if asked is not None and price is not None and price.most is not None and asked > price.most:
                return Tools((), None, None, None, _too_often(name, asked, price.most, hosted, place))
            named.append(Named(name, price, asked if asked is not None or price is None else price.most))
    together = _count((run.inbound.body or {}).get(hosted.all_uses)) if own and hosted.all_uses else None
    return _bounded(tuple(named), together, hosted, place)


def _bounded(named: tuple[Named, ...], together: int | None, hosted: Hosted, place: Place) -> Tools:
    """The dearest first, as long as there are uses left. together: of all tools; None: nobody says."""
    why, cost, uses, left = "", 0, 0, together
    priced = bounded = True
    for each in sorted(named, key=lambda each: 0 if each.price is None else -each.price.use):
        known = [most for most in (each.most, left) if most is not None]
        if each.price is None:
            priced, why = False, why or _unpriced(each.name, place)
        if not known:
            bounded, why = False, why or _unbounded(each.name, hosted, place)
            continue
        cost += min(known) * (0 if each.price is None else each.price.use)
        uses += min(known)
        left = None if left is None else left - min(known)
    reads = [None if each.price is None else each.price.reads for each in named if each.most != 0]
    longest = None if None in reads else max((each or 0 for each in reads), default=0)
    return Tools(named, cost if priced and bounded else None, uses if bounded else None, longest, why)


def check(run: Run, *, money: bool) -> None:
    """Refuse a request whose tools nobody could bound at any target that may answer it.

    Raises:
        NotAdmitted: 400, with the tool, and what to write.
    """
    if not any("hosted" in tool for tool in run.request.get("tools", ())):
        return
    why = ""
    for node in answering(run.bound.route.start):
        if isinstance(node, Use) and run.unfit(node) is None:
            tools = run.tools(run.bound.places[node.deployment])
            if tools is None or (tools.cost if money else tools.uses) is not None:
                return
            why = why or tools.why
    if why:
        raise NotAdmitted(why, status=400, code="not_admitted", param="tools")


def used_cost(run: Run, place: Place, usage: Usage) -> int:
    """Nano-dollars of the uses of a call: as its usage tells them; what it does not tell of, at the most."""
    facts = place.deployment.facts
    told = usage.get("tool_uses", {})
    cost = sum(count * price.use for name, count in told.items() if (price := tool_price(facts, name)))
    tools = run.tools(place)
    if tools is None:
        return cost if not is_free(facts) and not place.deployment.uncounted else 0
    face = run.face(place).dialect
    speaks = () if face is None or usage.get("estimated") else run.snapshot.dialect(face).costs.hosted.told
    known = {key for name in (*told, *speaks) if (key := tool_key(facts, name)) is not None}
    untold = sum(
        (tools.uses if each.most is None else each.most) * each.price.use
        for each in tools.named
        if each.price is not None and tool_key(facts, each.name) not in known and tools.uses is not None
    )
    return cost + (untold if tools.cost is None else min(untold, tools.cost))


def _asked(tool: Tool, hosted: Hosted) -> int | None:
    return None if hosted.uses is None else _count(tool["hosted"].get(hosted.uses))


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _unpriced(name: str, place: Place) -> str:
    return (
        f"{_shown(name)} is run by the vendor, and what that costs at {place.deployment.name} is counted "
        f"here and not known: leave the tool out, or have the deployment's `price` say it, as "
        f"`tools: {{{_short(name)}: {{use: $0.01, most: 5}}}}`"
    )


def _unbounded(name: str, hosted: Hosted, place: Place) -> str:
    ways = [f"set `{field}` in the tool" for field in (hosted.uses,) if field]
    ways += [f"set `{field}` in the request" for field in (hosted.all_uses,) if field]
    ways.append(f"have the `price` of {place.deployment.name} say `most` of `{_short(name)}`")
    return (
        f"{_shown(name)} is run by the vendor as often as it likes, and what that costs is counted here: "
        f"leave the tool out, or {', or '.join(ways)}"
    )


def _too_often(name: str, asked: int, most: int, hosted: Hosted, place: Place) -> str:
    return (
        f"`{hosted.uses}` of {_shown(name)} is {asked}, and {place.deployment.name} allows at most {most}, "
        "by its `price`"
    )


def _shown(name: str) -> str:
    return f"the tool `{name[:60]}`"


def _short(name: str) -> str:
    """Without the date that ends it."""
    head, _, tail = name[:60].rpartition("_")
    return head if head and tail.isdigit() else name[:60]


def names(tools: tuple[Tool, ...] | list[Tool]) -> Iterator[str]:
    """Those of a request."""
    for tool in tools:
        if "hosted" in tool:
            yield from hosted_names(tool["hosted"])
