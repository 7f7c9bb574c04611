"""The built-in node kinds that execute. A kind stands here once, and nothing scans for it."""

from __future__ import annotations

from engine.kinds import (
    balance,
    cache,
    cascade,
    classify,
    ensemble,
    fallback,
    hedge,
    jumps,
    mirror,
    reject,
    respond,
    split,
    switch,
    use,
)
from engine.kinds.balance import Balance
from engine.kinds.cache import Cache
from engine.kinds.cascade import Cascade
from engine.kinds.classify import Classify
from engine.kinds.ensemble import Ensemble
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.jumps import Jumps
from engine.kinds.mirror import Mirror
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.split import Split
from engine.kinds.switch import Switch
from engine.kinds.use import Use
from engine.kinds.walk import BEHAVIOURS, Behaviour, children_targets, no_targets
from engine.plan.codec import register_kinds
from engine.plan.types import Node

KINDS: dict[str, type[Node]] = {
    cls.kind: cls
    for cls in (
        Use,
        Fallback,
        Balance,
        Split,
        Switch,
        Classify,
        Cascade,
        Hedge,
        Ensemble,
        Mirror,
        Cache,
        Reject,
        Respond,
        Jumps,
    )
}

BEHAVIOURS.update(
    {
        "use": Behaviour(use.steps, use.targets),
        "fallback": Behaviour(fallback.steps, children_targets),
        "balance": Behaviour(balance.steps, children_targets),
        "split": Behaviour(split.steps, split.split_targets),
        "switch": Behaviour(switch.steps, switch.targets),
        "classify": Behaviour(classify.steps, classify.targets),
        "cascade": Behaviour(cascade.steps, children_targets),
        "ensemble": Behaviour(ensemble.steps, children_targets),
        "mirror": Behaviour(mirror.steps, mirror.targets),
        "hedge": Behaviour(hedge.steps, children_targets),
        "cache": Behaviour(cache.steps, cache.below),
        "reject": Behaviour(reject.steps, no_targets),
        "respond": Behaviour(respond.steps, no_targets),
        "jumps": Behaviour(jumps.steps, jumps.targets),
    }
)

register_kinds(KINDS)
