"""The compiler: a tuple of named stages from files to a sealed plan.

A stage runs only if the ones before it left no error, so nobody reads ten messages about one typo. Each is
timed under its name. `compile_workspace` is the public way in; the commands use `compile_folder`, which
also tells what was read and merged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from engine.collector import collector_held
from engine.compiler.built import check_built
from engine.compiler.cache import Cache, default_cache
from engine.compiler.checks.subject import Subject
from engine.compiler.checks.table import CHECKS
from engine.compiler.document import Document, Path
from engine.compiler.expr import Scope
from engine.compiler.expressions import compile_expressions, scope_of
from engine.compiler.load import Sources, load
from engine.compiler.lower import Lowerer
from engine.compiler.lower_alerts import lower_alerts
from engine.compiler.lower_budgets import lower_budgets
from engine.compiler.lower_deployment import Deployments
from engine.compiler.lower_limits import lower_limits
from engine.compiler.lower_people import people
from engine.compiler.merge import Workspace as MergedWorkspace
from engine.compiler.merge import merge
from engine.compiler.merged import Merged
from engine.compiler.parse import parse
from engine.compiler.resolve import resolve
from engine.compiler.seal import Lowered, seal
from engine.compiler.shape import shape
from engine.compiler.usage_file import is_kept, usage_file
from engine.compiler.vendors import Vendors
from engine.diagnostics import Diagnostic, Diagnostics
from engine.plan.money import MoneySegment
from engine.plan.plan import Plan
from engine.plan.types import MediaFetch
from engine.plan.types import Settings as PlanSettings
from engine.plan.values import Expr
from engine.spec.settings import Settings
from engine.spec.workspace import Workspace


@dataclass(slots=True)
class Work:
    """What the stages hand on. Each fills what stands under its name."""

    sources: Sources
    out: Diagnostics
    cache: Cache | None
    # parse
    documents: tuple[Document, ...] = ()
    vendors: Vendors | None = None
    # merge
    merged: MergedWorkspace | None = None
    # shape
    spec: Workspace | None = None
    settings: Settings = field(default_factory=Settings)
    settings_document: Document | None = None
    # expressions
    scope: Scope | None = None
    expressions: dict[Path, Expr] = field(default_factory=dict)
    # lower
    lowered: Lowered = field(default_factory=Lowered)
    places: dict[str, Path] = field(default_factory=dict)
    # seal
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a workspace. `plan` is None if there is an error among the diagnostics.

    `effective` is the merged workspace (None if it could not be read); `seconds` the time each stage took.
    """

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    effective: Merged | None
    sources: Sources
    settings: Settings
    seconds: dict[str, float]
    documents: tuple[Document, ...] = ()

    def texts(self) -> dict[str, str]:
        """File -> text, of every file that a diagnostic may speak of: what renderers quote from."""
        return {**self.sources.texts(), **{d.source.path: d.source.text for d in self.documents}}


def compile_workspace(
    root: str | os.PathLike[str], env: str | None = None, *, cache: bool = True
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Compile the workspace at `root`, with the overlay `env`. No I/O but reading its files.

    `cache`: provider and dialect files that were compiled before are taken from the user's cache folder.

    Returns:
        The plan, or None if there is an error; and everything found, by place.
    """
    done = compile_folder(FilePath(root), env, cache=cache)
    return done.plan, done.diagnostics


def compile_folder(root: FilePath, env: str | None = None, *, cache: bool = True) -> Compiled:
    """`compile_workspace`, with all that was learnt on the way."""
    with collector_held():
        out = Diagnostics()
        begun = time.perf_counter()
        sources = load(root, env, out)
        work = Work(sources, out, default_cache() if cache else None)
        return _run(work, {"load": time.perf_counter() - begun})


def _run(work: Work, seconds: dict[str, float]) -> Compiled:
    sources, out = work.sources, work.out
    for name, stage in STAGES:
        if out.failed:
            break
        begun = time.perf_counter()
        stage(work)
        seconds[name] = time.perf_counter() - begun
    vendors = work.vendors
    read = vendors.documents() if vendors is not None else ()
    return Compiled(
        plan=None if out.failed else work.plan,
        diagnostics=out.sorted(),
        effective=work.merged.document if work.merged is not None else None,
        sources=sources,
        settings=work.settings,
        seconds=seconds,
        documents=(*work.documents, *read),
    )


# --- the stages ---------------------------------------------------------------------------------------


def _parse(work: Work) -> None:
    files = [source for source in work.sources.files if source.kind not in ("provider", "dialect")]
    parsed = (parse(source, work.out) for source in files)
    work.documents = tuple(document for document in parsed if document is not None)
    work.vendors = Vendors(work.sources, (), work.out, work.cache)
    work.vendors.read_own()


def _merge(work: Work) -> None:
    work.merged = merge(work.documents, work.out)


def _shape(work: Work) -> None:
    assert work.merged is not None
    work.spec = shape(Workspace, work.merged.document, work.out)
    for document in work.documents:
        if document.source.kind == "settings":
            work.settings_document = document
            work.settings = shape(Settings, document, work.out) or work.settings


def _resolve(work: Work) -> None:
    assert work.merged is not None
    assert work.spec is not None
    assert work.vendors is not None
    resolve(work.spec, work.merged.document, work.vendors.providers, work.out)


def _built(work: Work) -> None:
    assert work.merged is not None
    assert work.spec is not None
    check_built(work.spec, work.merged.document, work.out)
    if work.settings_document is not None:
        check_built(work.settings, work.settings_document, work.out)
    for document in work.documents:
        if document.source.kind == "case":
            from engine.spec.case import CaseFile  # deferred: most workspaces have no cases

            cases = shape(CaseFile, document, work.out)
            if cases is not None:
                check_built(cases, document, work.out)


def _expressions(work: Work) -> None:
    assert work.merged is not None
    assert work.spec is not None
    work.scope = scope_of(work.spec)
    work.expressions = compile_expressions(work.spec, work.merged.document, work.scope, work.out)


#: How long fetching one image or file may take, where engine.yaml does not say.
MEDIA_MS: Final = 10_000


def _settings(settings: Settings, spec: Workspace) -> PlanSettings:
    media = settings.media
    fetch = None if media is None else MediaFetch(media.fetch, bool(media.http), media.timeout or MEDIA_MS)
    usage = usage_file(settings) if is_kept(settings, spec) else None
    return PlanSettings(settings.timezone, settings.decision_log, fetch, usage)


def _lower(work: Work) -> None:
    assert work.merged is not None
    assert work.spec is not None
    assert work.scope is not None
    assert work.vendors is not None
    spec, document, lowered = work.spec, work.merged.document, work.lowered
    lowered.settings = _settings(work.settings, spec)
    low = Lowerer(
        spec,
        document,
        work.expressions,
        work.scope,
        work.out,
        work.settings.timezone,
        work.merged.in_policies,
    )
    lowered.routes = {name: low.route(name) for name in sorted(spec.routes)}
    lowered.nodes = {name: low.named_node(name) for name in sorted(spec.nodes)}
    lowered.people = people(low, work.settings.keys_secret)
    work.places = low.places
    lowered.money = MoneySegment(
        lower_budgets(low), lower_limits(low, work.settings.state), low.always("budgets"), lower_alerts(low)
    )
    deployments = Deployments(spec, document, work.vendors, work.expressions, work.out)
    for name in sorted(spec.deployments):
        found = deployments.lower(name)
        if found is not None:
            lowered.deployments[name] = found
    _lower_vendors(lowered, work.vendors)


def _lower_vendors(lowered: Lowered, vendors: Vendors) -> None:
    """What the deployments use, every dialect that clients may speak, and the workspace's own files."""
    for name in sorted({deployment.provider for deployment in lowered.deployments.values()}):
        vendor = vendors.vendor(name)
        if vendor is not None:
            lowered.providers[name] = vendor.provider
    vendors.check_own()
    for name in vendors.dialects.names():
        dialect = vendors.dialect(name)
        if dialect is not None:
            lowered.dialects[name] = dialect


def _check(work: Work) -> None:
    assert work.merged is not None
    assert work.spec is not None
    assert work.vendors is not None
    subject = Subject(
        spec=work.spec,
        merged=work.merged,
        settings=work.settings,
        settings_document=work.settings_document,
        expressions=work.expressions,
        lowered=work.lowered,
        vendors=work.vendors,
        places=work.places,
        out=work.out,
    )
    for check in CHECKS:
        check(subject)


def _seal(work: Work) -> None:
    work.plan = seal(work.lowered)


#: In this order; adding a stage is a line here. `load` comes before them, because it makes the `Sources`.
STAGES: tuple[tuple[str, Callable[[Work], None]], ...] = (
    ("parse", _parse),
    ("merge", _merge),
    ("shape", _shape),
    ("resolve", _resolve),
    ("built", _built),
    ("expressions", _expressions),
    ("lower", _lower),
    ("check", _check),
    ("seal", _seal),
)
