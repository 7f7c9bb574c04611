"""One key of two clients: whoever shows it would be the one or the other."""

from __future__ import annotations

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.diagnostics import Related


def check(subject: Subject) -> None:
    clients = subject.spec.keys.clients if subject.spec.keys is not None else None
    seen: dict[str, Path] = {}
    for name, client in sorted((clients or {}).items()):
        for hashed in client.hash:
            path: Path = ("keys", "clients", name, "hash")
            first = seen.setdefault(hashed, path)
            if first != path:
                subject.out.add(
                    "E287",
                    f"the client `{name}` has the key of the client `{first[2]}`",
                    subject.document.span(path),
                    help="make it a key of its own: `engine keys new --print`",
                    related=[Related("the other", subject.document.span(first))],
                )
