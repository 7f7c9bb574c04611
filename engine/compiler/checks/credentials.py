"""Credentials: one where a vendor needs it, and conditions on them that read the client key only."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import fields_read
from engine.diagnostics import Related


def check(subject: Subject) -> None:
    for name, deployment in sorted(subject.lowered.deployments.items()):
        provider = subject.lowered.providers.get(deployment.provider)
        if provider is None or provider.auth.scheme == "none":
            continue
        if not deployment.credentials:
            subject.out.add(
                "E219",
                f"{provider.name} asks for a credential, and the deployment `{name}` has none",
                subject.document.key_span(("deployments", name)),
                help="define one, `credentials: {NAME: {provider: "
                f"{provider.name}, secret: env:NAME}}}}`, and name it in the deployment's `credentials`",
            )
    for name, credential in sorted(subject.spec.credentials.items()):
        if credential.only is not None:
            _only(subject, name)


def _only(subject: Subject, name: str) -> None:
    path = ("credentials", name, "only")
    expr = subject.expressions[path]
    place = subject.document.span(path)
    read = sorted(fields_read(expr))
    other = [field for field in read if not field.startswith("key.")]
    if other:
        subject.out.add(
            "E242",
            f"`only` reads `{other[0]}`, and it may read `key.*` only",
            place,
            help="whose request it is decides which credential is shown; put what the request holds into a "
            "`switch`",
        )
    declared = (subject.spec.keys.tags if subject.spec.keys is not None else None) or {}
    for tag in (field.split(".", 2)[2] for field in read if field.startswith("key.tags.")):
        if tag in declared and not declared[tag].required:
            subject.out.add(
                "E243",
                f"`only` reads the tag `{tag}`, which a client key may lack",
                place,
                help=f"declare it `{tag}: {{required: true}}`, so that a key without it is refused",
                related=[Related("declared here", subject.document.key_span(("keys", "tags", tag)))],
            )
