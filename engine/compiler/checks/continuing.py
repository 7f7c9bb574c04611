"""`on_cut: continue` where nobody could go on with a broken stream, or none ever breaks before its client."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.kinds.outline import answering
from engine.kinds.use import Use


def check(subject: Subject) -> None:
    for name, route in sorted(subject.lowered.routes.items()):
        if route.stream.on_cut != "continue":
            continue
        if route.stream.switch_until == "complete":
            subject.out.add(
                "W269",
                "`on_cut: continue` does nothing beside `switch_until: complete`: the client has nothing yet "
                "that could be gone on with",
                subject.document.span(("routes", name, "stream", "on_cut")),
                help="remove one of the two",
            )
            continue
        targets = (node for node in answering(subject.linked(name).start) if isinstance(node, Use))
        facts = [subject.lowered.deployments[each.deployment].facts for each in targets]
        if any(each.goes_on for each in facts):
            continue
        begun = any("prefill" in (each.can or ()) for each in facts)
        lacks = "`stream` beside `prefill`" if begun else "`prefill`"
        subject.out.add(
            "W264",
            f"nobody can go on with a broken stream: no target of the route `{name}` has {lacks}",
            subject.document.span(("routes", name, "stream", "on_cut")),
            help="add a target that has it, or write `switch_until: complete`",
        )
