"""The table of node kinds as users write them. A kind stands here once, and nothing scans for it."""

from __future__ import annotations

from engine.spec.nodes.balance import BalanceNode
from engine.spec.nodes.cache import CacheNode
from engine.spec.nodes.cascade import CascadeNode
from engine.spec.nodes.classify import ClassifyNode
from engine.spec.nodes.ensemble import EnsembleNode
from engine.spec.nodes.fallback import FallbackNode
from engine.spec.nodes.hedge import HedgeNode
from engine.spec.nodes.mirror import MirrorNode
from engine.spec.nodes.node import NodeSpec
from engine.spec.nodes.reject import RejectNode
from engine.spec.nodes.respond import RespondNode
from engine.spec.nodes.split import SplitNode
from engine.spec.nodes.switch import SwitchNode
from engine.spec.nodes.use import UseNode

SPECS: dict[str, type[NodeSpec]] = {
    spec.kind: spec
    for spec in (
        UseNode,
        FallbackNode,
        BalanceNode,
        SplitNode,
        SwitchNode,
        ClassifyNode,
        CascadeNode,
        HedgeNode,
        EnsembleNode,
        MirrorNode,
        CacheNode,
        RejectNode,
        RespondNode,
    )
}
