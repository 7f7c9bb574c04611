"""`hedge: [...]`: a second call after a delay; the first good answer wins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator, WithJsonSchema
from typing_extensions import TypeAliasType

from engine.kinds.hedge import Hedge
from engine.spec.containers import Some
from engine.spec.fault import fault
from engine.spec.lowering import Lowering, Path
from engine.spec.model import about
from engine.spec.nodes.node import CallingNode, Child, NodeSpec
from engine.units import UnitError, duration


def _after(value: Any) -> int | str:
    if isinstance(value, str) and re.fullmatch(r"p[1-9][0-9]", value):
        return value
    try:
        return duration(value)
    except UnitError as error:
        raise fault(
            "E103", error.message, error.help or "or write a percentile of its latency, like p95"
        ) from None


After = TypeAliasType(
    "After",
    Annotated[
        Any,
        PlainValidator(_after),
        WithJsonSchema(
            {
                "type": "string",
                "description": "A time, or a percentile of the latency.",
                "pattern": r"^(p[1-9][0-9]|[0-9]+(\.[0-9]+)?(ms|s|m|h|d))$",
                "examples": ["p95", "800ms"],
            }
        ),
    ],
)


class HedgeNode(CallingNode):
    """Calls the next when those before it have not begun to answer, or failed; the first good answer wins.

    The losers are cancelled and their connections closed before the winner's answer goes on. What a loser had
    used counts: its input at least, as an estimate. `failures` has no say: any failure makes the next start.
    Where too few calls are known for a percentile (20), the next starts after one second.
    """

    kind: ClassVar[str] = "hedge"
    noun: ClassVar[str] = "node.hedge"
    example: ClassVar[str] = "{hedge: [a, b], after: p95}"

    hedge: Some[Child] = about("Who is called, in this order.", required=True, examples=[["a", "b"]])
    after: After = about(
        "After how long: a time, or a percentile of the first one's latency.",
        required=True,
        examples=["p95", "800ms"],
    )

    def children(self) -> Iterator[tuple[Path, NodeSpec]]:
        for index, child in enumerate(self.hedge):
            yield ("hedge", index), child

    def lower(self, low: Lowering, path: Path) -> Hedge:
        children = tuple(low.node(child, path + below) for below, child in self.children())
        own = low.id(path), low.call(self, path), children
        if isinstance(self.after, str):
            return Hedge(*own, after_percentile=int(self.after[1:]))
        return Hedge(*own, after_ms=self.after)
