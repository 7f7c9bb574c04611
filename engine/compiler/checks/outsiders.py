"""Who is known by a token or a certificate carries what is declared, and cannot be two.

A tag that every key must carry has to come from somewhere, else nobody of an issuer could ever ask anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.compiler.checks.subject import Subject
from engine.compiler.document import Path
from engine.compiler.resolve import check_carried, there_is
from engine.diagnostics import Related
from engine.plan.identity import Take
from engine.spec.keys import Keys
from engine.spec.outsiders import CertificateRule, Claims, TokenIssuer

#: As many addresses as this are everybody: a range of all of them.
_EVERYBODY = frozenset({"0.0.0.0/0", "::/0"})


def check(subject: Subject) -> None:
    for each in subject.settings.trusted_proxies or ():
        if each in _EVERYBODY:
            subject.out.add(
                "W296",
                f"every client is trusted as a proxy (`{each}`), so each may name any address as its own",
                subject.setting_place("trusted_proxies"),
                help="name your proxies' addresses",
            )
    keys = subject.spec.keys
    if keys is not None:
        _issuers(subject, keys)
        _certificates(subject, keys)


def _issuers(subject: Subject, keys: Keys) -> None:
    named: dict[str, Path] = {}
    for name, spec in sorted((keys.jwt or {}).items()):
        path: Path = ("keys", "jwt", name)
        check_carried(keys, path, spec.org, spec.tags, subject.document, subject.out)
        other = named.setdefault(spec.issuer, path)
        if other != path:
            subject.out.add(
                "E293",
                f"`{spec.issuer}` is the issuer of two entries, and a token would be of both",
                subject.document.span((*path, "issuer")),
                help="make them one; `audience` takes a list",
                related=[Related("the other one", subject.document.span((*other, "issuer")))],
            )
        _claims(subject, keys, path, spec)


def _claims(subject: Subject, keys: Keys, path: Path, spec: TokenIssuer) -> None:
    claims = spec.claims or Claims()
    takes = claims.tags or {}
    here: Path = (*path, "claims")
    if spec.org is not None and claims.org is not None:
        _twice(subject, (*here, "org"), (*path, "org"), "its organisation")
    _known_values(subject, (*here, "org"), claims.org, keys.orgs, "organisation")
    groups = subject.spec.groups
    _known_values(subject, (*here, "groups"), claims.groups, groups, "group")
    declared = keys.tags or {}
    for tag, take in sorted(takes.items()):
        if tag not in declared:
            place = subject.document.key_span((*here, "tags", tag))
            subject.out.add("E216", f"`{tag}` is no declared tag", place, help=there_is(tag, declared))
            continue
        if tag in (spec.tags or {}):
            _twice(subject, (*here, "tags", tag), (*path, "tags", tag), f"the tag `{tag}`")
        _known_values(subject, (*here, "tags", tag), take, declared[tag].values, f"value of the tag `{tag}`")
    _required(subject, keys, path, {**(spec.tags or {}), **takes}, "a claim", "claims")


def _known_values(
    subject: Subject, path: Path, take: Take | None, known: Iterable[str] | None, noun: str
) -> None:
    """What the values of a claim are here is declared."""
    if take is None or take.values is None or known is None:
        return
    for theirs, ours in take.values:
        if ours not in known:
            place = subject.document.span((*path, "values", theirs))
            subject.out.add("E216", f"`{ours}` is no declared {noun}", place, help=there_is(ours, known))


def _twice(subject: Subject, path: Path, other: Path, what: str) -> None:
    subject.out.add(
        "E294",
        f"{what} is said for all of the issuer's subjects, and taken from each token as well",
        subject.document.key_span(path),
        help="keep one of them",
        related=[Related("for all of them", subject.document.key_span(other))],
    )


def _required(
    subject: Subject, keys: Keys, path: Path, has: Mapping[str, object], what: str, where: str
) -> None:
    for tag, spec in sorted((keys.tags or {}).items()):
        if spec.required and tag not in has:
            subject.out.add(
                "E294",
                f"every key must carry the tag `{tag}`, and here it comes from nowhere: all would get 403",
                subject.document.key_span(path),
                help=f"give it to all with `tags: {{{tag}: ...}}`"
                + (f", or take it from {what} with `{where}: {{tags: {{{tag}: ...}}}}`" if where else ""),
                related=[Related("required here", subject.document.key_span(("keys", "tags", tag)))],
            )


def _certificates(subject: Subject, keys: Keys) -> None:
    tls = subject.settings.tls
    named: dict[tuple[str, str], Path] = {}
    for name, spec in sorted((keys.mtls or {}).items()):
        path: Path = ("keys", "mtls", name)
        check_carried(keys, path, spec.org, spec.tags, subject.document, subject.out)
        _required(subject, keys, path, spec.tags or {}, "", "")
        if tls is None or tls.clients is None:
            subject.out.add(
                "E295",
                "nobody is asked for a certificate, so this rule fits nobody",
                subject.document.key_span(path),
                help="write `tls: {certificate: ..., key: ..., clients: file:...}` in engine.yaml",
            )
        _same_name(subject, named, path, spec)


def _same_name(
    subject: Subject, named: dict[tuple[str, str], Path], path: Path, spec: CertificateRule
) -> None:
    other = named.setdefault(spec.name, path)
    if other != path:
        kind = spec.name[0]
        subject.out.add(
            "E295",
            f"`{spec.name[1]}` is the {kind} of two rules, and a certificate would be of both",
            subject.document.span((*path, kind)),
            help="keep one of them",
            related=[Related("the other one", subject.document.span((*other, kind)))],
        )
