"""Probes that could never be made, because every credential is reserved for some client keys."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject


def check(subject: Subject) -> None:
    for name, deployment in sorted(subject.lowered.deployments.items()):
        held = deployment.credentials
        if deployment.probe is None or not held or any(each.only is None for each in held):
            continue
        subject.out.add(
            "W268",
            f"`{name}` is never probed: each of its credentials has `only`, and a probe has no client key",
            subject.document.key_span(("deployments", name, "probe")),
            help="give it a credential without `only`, or remove `probe`",
        )
