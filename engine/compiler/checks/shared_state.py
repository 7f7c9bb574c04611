"""`state: shared` in a policy: what is counted is counted over all hosts, so the store is one they share."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.diagnostics import Related


def check(subject: Subject) -> None:
    store = subject.settings.state
    if store.startswith("redis"):
        return
    for name, floor in sorted(subject.spec.require.items()):
        if floor.state is not None:
            subject.out.add(
                "E298",
                f"the policy `{name}` requires a state store that all hosts share, and "
                f"`state: {store.partition(':')[0]}` is none",
                subject.document.span(("require", name, "state")),
                help="name one in engine.yaml: `state: redis://HOST:6379/0`",
                related=[Related("the setting", subject.setting_place("state"))],
            )
