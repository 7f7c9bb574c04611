"""The built-in node kinds that execute. A kind stands here once, and nothing scans for it."""

from __future__ import annotations

from engine.kinds import balance, fallback, hedge, reject, respond, split, switch, use
from engine.kinds.balance import Balance
from engine.kinds.fallback import Fallback
from engine.kinds.hedge import Hedge
from engine.kinds.reject import Reject
from engine.kinds.respond import Respond
from engine.kinds.split import Split
from engine.kinds.switch import Switch
from engine.kinds.use import Use
from engine.kinds.walk import BEHAVIOURS, Behaviour, children_targets, no_targets
from engine.plan.codec import register_kinds
from engine.plan.types import Node

KINDS: dict[str, type[Node]] = {
    cls.kind: cls for cls in (Use, Fallback, Balance, Split, Switch, Hedge, Reject, Respond)
}

BEHAVIOURS.update(
    {
        "use": Behaviour(use.steps, use.targets),
        "fallback": Behaviour(fallback.steps, children_targets),
        "balance": Behaviour(balance.steps, children_targets),
        "split": Behaviour(split.steps, split.split_targets),
        "switch": Behaviour(switch.steps, switch.targets),
        "hedge": Behaviour(hedge.steps, children_targets),
        "reject": Behaviour(reject.steps, no_targets),
        "respond": Behaviour(respond.steps, no_targets),
    }
)

register_kinds(KINDS)
