"""Members of a balance of which nobody knows what it ranks by: their place in the order means nothing."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.diagnostics import Span
from engine.kinds.balance import Balance
from engine.kinds.outline import reached, walk_tree


def check(subject: Subject) -> None:
    told: set[str] = set()
    for name in sorted(subject.lowered.routes):
        for node in walk_tree(subject.linked(name).start):
            if isinstance(node, Balance) and node.id not in told:
                told.add(node.id)
                _quality(subject, node)
                _headroom(subject, node)


def _leads(node: Balance) -> list[str]:
    """The deployment that each member stands for."""
    return [found[0] for child in node.children if (found := reached(child))]


def _quality(subject: Subject, node: Balance) -> None:
    score = node.score
    if node.rank != "quality" and (score is None or not (score.quality or "quality" in score.reads)):
        return
    known = subject.lowered.deployments
    unknown = [name for name in _leads(node) if name in known and known[name].facts.quality is None]
    if unknown:
        subject.out.add(
            "W260",
            f"this balance compares quality, and nobody says how good {_named(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'}",
            _place(subject, node),
            help="write `quality`, from 0 to 1, at the deployment or at its model in the provider file; "
            "without, it is taken for the worst",
        )


def _headroom(subject: Subject, node: Balance) -> None:
    if node.rank != "headroom":
        return
    deployments, providers = subject.lowered.deployments, subject.lowered.providers
    silent = [
        name
        for name in _leads(node)
        if name in deployments
        and (provider := providers.get(deployments[name].provider)) is not None
        and not provider.headroom
        and not deployments[name].limits
    ]
    if silent:
        subject.out.add(
            "W261",
            f"this balance compares what is left of quotas, and no answer of {_named(silent)} tells that",
            _place(subject, node),
            help="its provider file may name the headers under `headroom`, or the deployment its quota in "
            "`limits`; without, its quota counts as full",
        )


def _named(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _place(subject: Subject, node: Balance) -> Span:
    path = subject.places[node.id]
    return subject.document.span((*path, "score" if node.score is not None else "rank"))
