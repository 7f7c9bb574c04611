"""Definitions that no route leads to: mostly a typo somewhere else, or the rest of an old route."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.mentions import Reference, mentions


def check(subject: Subject) -> None:
    if not subject.spec.routes:
        return  # then everything is unused, and that is what is told
    for section, noun, used in (
        ("deployments", "deployment", subject.used.deployments),
        ("nodes", "node", subject.used.nodes),
    ):
        for name in sorted(getattr(subject.spec, section).keys() - used):
            subject.out.add(
                "W222",
                f"no route leads to the {noun} `{name}`",
                subject.document.key_span((section, name)),
                help="use it in a route, or remove it",
            )
    named = {
        mention.name
        for mention in mentions(subject.spec)
        if isinstance(mention, Reference) and mention.sections == ("credentials",)
    }
    for name in sorted(subject.spec.credentials.keys() - named):
        subject.out.add(
            "W222",
            f"no deployment uses the credential `{name}`",
            subject.document.key_span(("credentials", name)),
            help="name it in a deployment's `credentials`, or remove it",
        )
