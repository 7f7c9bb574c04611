"""A workspace without a route answers every request with 404."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject


def check(subject: Subject) -> None:
    if not subject.spec.routes:
        subject.out.add(
            "W241",
            "the workspace has no route: every request will be answered with 404",
            None,
            help="add one to routes/: `routes: {assistant: NAME_OF_A_DEPLOYMENT}`",
        )
