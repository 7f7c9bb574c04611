"""With whom a target is compared, and who is asked where it is not: worked out once for each bound route.

Members of a `balance` get the same requests, so their failures can be compared. Whoever else a `fallback`,
`balance`, `hedge` or `cascade` above a target could ask stands in for it; the arms of a `switch` or `split`
do not stand in for each other, nor does a judge for those it judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.kinds.balance import Balance
from engine.kinds.outline import ANSWER, edges
from engine.kinds.use import Use
from engine.plan.types import Node
from engine.state.health import Peers

#: Kinds whose children stand in for each other.
_STAND_IN: Final = frozenset({"fallback", "balance", "hedge", "cascade"})

_NOBODY: Final[frozenset[str]] = frozenset()


def peers_of(start: Node) -> dict[str, Peers]:
    """The peers of each target of a linked route, by its id; of those that have none, nothing."""
    found: dict[str, Peers] = {}
    _below(start, _NOBODY, found)
    return found


def _below(node: Node, others: frozenset[str], found: dict[str, Peers]) -> None:
    if isinstance(node, Use):
        _add(found, node, Peers((), others))
        return
    children = [edge.node for edge in edges(node) if edge.role == ANSWER]
    if node.kind in _STAND_IN:
        others = others.union(*(_deployments(child) for child in children))
    if isinstance(node, Balance):
        leads = [lead for child in children if (lead := next(_targets(child), None)) is not None]
        members = tuple(dict.fromkeys(lead.deployment for lead in leads))
        for lead in leads:
            _add(found, lead, Peers(members, _NOBODY))
    for child in children:
        _below(child, others, found)
    for edge in edges(node):
        if edge.role != ANSWER:
            _below(edge.node, _NOBODY, found)


def _add(found: dict[str, Peers], target: Use, peers: Peers) -> None:
    """A named node may stand in several places: its targets have the peers of all of them."""
    known = found.get(target.id, Peers())
    members = known.members + tuple(name for name in peers.members if name not in known.members)
    both = Peers(members, known.others | peers.others)
    if len(both.others | set(both.members)) > 1:
        found[target.id] = both


def _deployments(node: Node) -> frozenset[str]:
    return frozenset(target.deployment for target in _targets(node))


def _targets(node: Node) -> Iterator[Use]:
    """Those that could answer, in their order."""
    if isinstance(node, Use):
        yield node
    for edge in edges(node):
        if edge.role == ANSWER:
            yield from _targets(edge.node)
