"""A provider file to the plan's `Provider`: regions, auth, models and quirks, with defaults applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from engine.compiler.document import Document
from engine.compiler.expr import compile_template
from engine.compiler.lower_adjust import adjust_rules
from engine.compiler.lower_auth import lower_auth
from engine.compiler.lower_dialect import error_rules
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics
from engine.plan.types import Provider, Region, Template
from engine.spec.auth import AuthSpec
from engine.spec.provider import ProviderSpec


def lower_provider(
    spec: ProviderSpec, name: str, document: Document, dialects: Collection[str], out: Diagnostics
) -> Provider | None:
    """The plan's provider; None after a fault, which is in `out`. `dialects`: the names that exist."""
    before = len(out)
    dialect = _dialect(spec, document, dialects, out)
    regions = _regions(spec, document, out)
    default = _default_region(spec, regions, document, out)
    auth = lower_auth(spec.auth or AuthSpec(), document, ("auth",), out)
    headers: dict[str, Template] = {}
    for header, data in (spec.headers or {}).items():
        made = compile_template(
            data, document=document, path=("headers", header), scope="call", escape="header", out=out
        )
        if made is not None:
            headers[header.lower()] = made
    if out.failed and len(out) > before:
        return None
    return Provider(
        name=name,
        title=spec.title or name,
        category=spec.category,
        dialect=dialect,
        auth=auth,
        regions=regions,
        default_region=default,
        headers=headers,
        paths=dict(spec.paths or {}),
        rename=dict(spec.rename or {}),
        drop=spec.drop or (),
        takes=spec.takes or (),
        params=dict(spec.params or {}),
        batch=spec.batch,
        adjust=adjust_rules(spec.adjust, document, ("adjust",), out),
        errors=error_rules(spec.errors),
        retry_after=tuple(each.lower() for each in spec.retry_after or ()),
    )


def _dialect(
    spec: ProviderSpec, document: Document, dialects: Collection[str], out: Diagnostics
) -> str | None:
    if spec.dialect is None:
        out.add(
            "E400",
            "the file does not say which wire format is spoken there",
            document.span(()),
            help=f"write `dialect: NAME`; there is: {', '.join(sorted(dialects))}",
        )
        return None
    if spec.dialect == "none":
        return None
    if spec.dialect not in dialects:
        near = did_you_mean(spec.dialect, list(dialects))
        hint = f"did you mean `{near}`?" if near else f"there is: {', '.join(sorted(dialects))}"
        out.add("E401", f"there is no dialect `{spec.dialect}`", document.span(("dialect",)), help=hint)
    return spec.dialect


def _regions(spec: ProviderSpec, document: Document, out: Diagnostics) -> Mapping[str, Region]:
    if spec.base_url is not None and spec.regions:
        out.add(
            "E402",
            "`base_url` and `regions` both say where it runs",
            document.key_span(("base_url",)),
            help="make it one of the regions",
        )
    if spec.regions:
        return {
            name: Region(name, each.base_url.rstrip("/"), each.residency, each.price or 1.0)
            for name, each in spec.regions.items()
        }
    if spec.base_url is None and spec.dialect != "none":
        out.add(
            "E402",
            "the file does not say where it runs",
            document.span(()),
            help="write `base_url: https://...`, or several under `regions`",
        )
    url = (spec.base_url or "").rstrip("/")
    return {"default": Region("default", url, spec.residency or "unknown")}


def _default_region(
    spec: ProviderSpec, regions: Mapping[str, Region], document: Document, out: Diagnostics
) -> str:
    wanted = spec.default_region
    if wanted is not None:
        if wanted not in regions:
            near = did_you_mean(wanted, list(regions))
            hint = f"did you mean `{near}`?" if near else f"there is: {', '.join(regions)}"
            out.add("E404", f"there is no region `{wanted}`", document.span(("default_region",)), help=hint)
        return wanted
    return "global" if "global" in regions else next(iter(regions))
