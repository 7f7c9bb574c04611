"""What a policy names or reaches is defined in policies/, and what it names is named nowhere else.

Else the floor would rest on files that anybody may edit: a guard that a route file redefines guards nothing.
"""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.mentions import Reference, mentions
from engine.compiler.merged import dotted
from engine.compiler.resolve import NOUNS
from engine.diagnostics import Related


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


def _secrets(subject: Subject) -> None:
    named = {
        str(spec.secret): name
        for name, spec in subject.spec.credentials.items()
        if spec.secret is not None and ("credentials", name) in subject.merged.protected
    }
    for name, spec in sorted(subject.spec.credentials.items()):
        if ("credentials", name) in subject.merged.protected or str(spec.secret) not in named:
            continue
        owner = named[str(spec.secret)]
        subject.out.add(
            "E240",
            f"the secret `{spec.secret}` belongs to the policies' credential `{owner}`",
            subject.document.span(("credentials", name, "secret")),
            help=f"use the credential `{owner}`, with its conditions, or another secret",
            related=[Related("the policy", subject.document.span(("credentials", owner, "secret")))],
        )
