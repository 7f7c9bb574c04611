"""Credentials: one that fits where a vendor needs it; conditions on them read the client key only."""

from __future__ import annotations

from collections.abc import Iterable

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import fields_read
from engine.diagnostics import Related
from engine.plan.auth import NEEDS, SLOTS
from engine.plan.vendors import Auth


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
                f"{provider.name}, {_example(provider.auth)}: env:NAME}}}}`, and name it in the deployment's "
                "`credentials`",
            )
    for name, credential in sorted(subject.spec.credentials.items()):
        if credential.only is not None:
            _only(subject, name)
    for name, auth in sorted(_used(subject).items()):
        _fits(subject, name, auth)


def _used(subject: Subject) -> dict[str, Auth]:
    """Credential -> the auth of the provider whose deployments show it."""
    return {
        credential.name: subject.lowered.providers[deployment.provider].auth
        for deployment in subject.lowered.deployments.values()
        for credential in deployment.credentials
        if deployment.provider in subject.lowered.providers and credential.name in subject.spec.credentials
    }


def _fits(subject: Subject, name: str, auth: Auth) -> None:
    """A credential gives what one scheme of its provider takes, and all that this one needs."""
    credential = subject.spec.credentials[name]
    schemes = [each.scheme for each in auth.any_of] or [auth.scheme]
    given = credential.slots
    fitting = [scheme for scheme in schemes if set(given) <= set(SLOTS[scheme])]
    if not fitting:
        _misfit(subject, name, schemes)
        return
    needs = [need for scheme in fitting for need in NEEDS[scheme]]
    if not any(set(need) <= set(given) for need in needs):
        shown = " or ".join("{" + ", ".join(need) + "}" for need in dict.fromkeys(needs))
        subject.out.add(
            "E247",
            f"the credential `{name}` gives {_named(given)}, which is not enough for `{fitting[0]}`",
            subject.document.key_span(("credentials", name)),
            help=f"it needs {shown}; nothing is taken from the provider file's defaults",
        )


def _misfit(subject: Subject, name: str, schemes: list[str]) -> None:
    credential = subject.spec.credentials[name]
    nearest = max(schemes, key=lambda scheme: len(set(credential.slots) & set(SLOTS[scheme])))
    wrong = next(slot for slot in credential.slots if slot not in SLOTS[nearest])
    takes = "; ".join(f"`{scheme}` takes {_named(SLOTS[scheme]) or 'none'}" for scheme in schemes)
    subject.out.add(
        "E246",
        f"{credential.provider} does not take `{wrong}`"
        + (
            f" beside {_named(each for each in credential.slots if each != wrong)}"
            if len(credential.slots) > 1
            else ""
        ),
        subject.document.key_span(("credentials", name, wrong)),
        help=takes,
    )


def _example(auth: Auth) -> str:
    schemes = [each.scheme for each in auth.any_of] or [auth.scheme]
    return NEEDS[schemes[0]][0][-1]


def _named(slots: Iterable[str]) -> str:
    return ", ".join(f"`{slot}`" for slot in slots)


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
