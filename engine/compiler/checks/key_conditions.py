"""What decides for whom a policy or a group holds reads the client key, and tags that every key carries."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.expr import fields_read
from engine.diagnostics import Related
from engine.plan.people import DEFAULT


def check(subject: Subject) -> None:
    for name in sorted(subject.spec.require):
        _condition(subject, ("require", name, "when"), f"the policy `{name}`", floor=True)
    usual = subject.spec.groups.get(DEFAULT)
    if usual is not None and usual.when is not None:
        subject.out.add(
            "E113",
            f"the group `{DEFAULT}` is for keys in no other, so its `when` means nothing",
            subject.document.span(("groups", DEFAULT, "when")),
            help="remove it, or give the group another name",
        )
    for name in sorted(subject.spec.groups):
        _condition(subject, ("groups", name, "when"), f"the group `{name}`", floor=False)


def _condition(subject: Subject, path: Path, who: str, *, floor: bool) -> None:
    expr = subject.expressions.get(path)
    if expr is None:
        return
    read = sorted(fields_read(expr))
    place = subject.document.span(path)
    other = [field for field in read if not field.startswith("key.")]
    if other:
        subject.out.add(
            "E288",
            f"`when` of {who} reads `{other[0]}`, and it may read `key.*` only",
            place,
            help="who asks decides what holds for it, not what it asks; put what the request holds into "
            "`match.when` or a `switch`",
        )
    declared = (subject.spec.keys.tags if subject.spec.keys is not None else None) or {}
    for tag in (field.split(".", 2)[2] for field in read if floor and field.startswith("key.tags.")):
        if tag in declared and not declared[tag].required:
            subject.out.add(
                "E243",
                f"`when` of {who} reads the tag `{tag}`, which a client key may lack",
                place,
                help=f"declare it `{tag}: {{required: true}}`: a key without it gets 403 then, and the "
                "policy is never off by accident",
                related=[Related("declared here", subject.document.key_span(("keys", "tags", tag)))],
            )
