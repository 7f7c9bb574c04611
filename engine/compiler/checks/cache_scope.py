"""What a cache outside policies/ shares its answers by says something of the client key.

Its answers stay within an organisation whatever is written; an expression that reads nothing of the key could
only mean to go beyond that, which is the policies' to allow.
"""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.expr import fields_read
from engine.compiler.seal import nodes_in
from engine.kinds.cache import Cache


def check(subject: Subject) -> None:
    for start in [*(r.start for r in subject.lowered.routes.values()), *subject.lowered.nodes.values()]:
        for node in nodes_in(start):
            if isinstance(node, Cache) and node.within_org and not _of_the_key(node):
                path = (*subject.places[node.id], "scope_by")
                subject.out.add(
                    "E262",
                    f"`scope_by: {node.scope_by.source}` reads nothing of the client key",
                    subject.document.span(path),
                    help="share by `key.org` or something within it; a cache for all of them is a named "
                    "node in policies/",
                )


def _of_the_key(node: Cache) -> bool:
    return any(name.startswith("key.") for name in fields_read(node.scope_by))
