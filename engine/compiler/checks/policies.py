"""What a policy names or reaches is defined in policies/, and what it names is named nowhere else.

Else the floor would rest on files that anybody may edit: a guard that a route file redefines guards nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.mentions import Reference, mentions
from engine.compiler.merged import dotted
from engine.compiler.resolve import NOUNS
from engine.diagnostics import Related
from engine.spec.credential import Credential


def check(subject: Subject) -> None:
    if not subject.merged.protected:
        return
    for mention in mentions(subject.spec):
        if isinstance(mention, Reference) and subject.merged.in_policies(mention.path[:2]):
            _reference(subject, mention)
    _secrets(subject)


def _reference(subject: Subject, mention: Reference) -> None:
    section = next(s for s in mention.sections if mention.name in getattr(subject.spec, s))
    definition: Path = (section, mention.name)
    if definition in subject.merged.protected:
        return
    subject.out.add(
        "E239",
        f"`{dotted(mention.path[:2])}` is a policy, and the {NOUNS[section]} `{mention.name}` is defined "
        "outside "
        "of policies/",
        subject.document.span(mention.path),
        help=f"define it in policies/, or name a {NOUNS[section]} that is",
        related=[Related("defined here", subject.document.key_span(definition))],
    )


#: Slots that say who somebody is: several credentials may say the same.
_WHO = frozenset({"client_id", "tenant", "issuer", "key_id", "subject", "external_id", "session_name"})


def _secrets(subject: Subject) -> None:
    protected = subject.merged.protected
    owners = {
        shown: (name, slot)
        for name, spec in subject.spec.credentials.items()
        if ("credentials", name) in protected
        for slot, shown in _shown(spec)
    }
    for name, spec in sorted(subject.spec.credentials.items()):
        if ("credentials", name) in protected:
            continue
        for slot, shown in _shown(spec):
            if shown not in owners:
                continue
            owner, there = owners[shown]
            subject.out.add(
                "E240",
                f"the secret `{shown}` belongs to the policies' credential `{owner}`",
                subject.document.span(("credentials", name, slot)),
                help=f"use the credential `{owner}`, with its conditions, or another secret",
                related=[Related("the policy", subject.document.span(("credentials", owner, there)))],
            )


def _shown(spec: Credential) -> Iterator[tuple[str, str]]:
    """(slot, what proves something there): the places of secrets, and profiles, roles and files by name."""
    for slot in spec.slots:
        value = getattr(spec, slot)
        if slot not in _WHO:
            yield from (
                (slot, str(each)) for each in (value if isinstance(value, tuple) else (f"{slot} {value}",))
            )
