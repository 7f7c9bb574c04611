"""A provider file to the plan's `Provider`: regions, auth, models and quirks, with defaults applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

from engine.compiler.addresses import check_addresses
from engine.compiler.document import Document, Path
from engine.compiler.lower_adjust import adjust_rules
from engine.compiler.lower_auth import lower_auth
from engine.compiler.lower_dialect import error_rules
from engine.compiler.lower_speaks import check_settings_read, headers, lower_speaks, templates
from engine.compiler.suggest import did_you_mean
from engine.diagnostics import Diagnostics
from engine.plan.vendors import Auth, Headroom, Provider, Region, RetryAfter
from engine.spec.auth import AuthSpec
from engine.spec.provider import ProviderSpec
from engine.spec.vendor_limits import HeadroomSpec, RetryAfterSpec

#: Schemes that show one key.
_KEYS: Final = ("bearer", "header", "query")


def lower_provider(
    spec: ProviderSpec, name: str, document: Document, dialects: Collection[str], out: Diagnostics
) -> Provider | None:
    """The plan's provider; None after a fault, which is in `out`. `dialects`: the names that exist."""
    before = len(out)
    dialect = _dialect(spec, document, dialects, out)
    regions = _regions(spec, document, out)
    default = _default_region(spec, regions, document, out)
    auth = lower_auth(spec.auth or AuthSpec(), document, ("auth",), out)
    check_addresses(spec, document, out)
    lowered = Provider(
        name=name,
        title=spec.title or name,
        category=spec.category,
        dialect=dialect,
        auth=auth,
        regions=regions,
        default_region=default,
        headers=headers(spec.headers, document, ("headers",), out),
        paths=templates(spec.paths, document, ("paths",), "path", out),
        rename=dict(spec.rename or {}),
        drop=spec.drop or (),
        takes=spec.takes or (),
        params=dict(spec.params or {}),
        batch=spec.batch,
        adjust=adjust_rules(spec.adjust, document, ("adjust",), out),
        errors=error_rules(spec.errors),
        retry_after=tuple(_retry_after(each) for each in spec.retry_after or ()),
        speaks=lower_speaks(spec, document, dialects, partial(_entry_auth, auth, document, out), out),
        operations=spec.operations or ("chat",),
        headroom={what: _headroom(each) for what, each in (spec.headroom or {}).items()},
    )
    check_settings_read(spec, lowered, document, out)
    return None if out.failed and len(out) > before else lowered


def _retry_after(spec: RetryAfterSpec) -> RetryAfter:
    return RetryAfter(None if spec.header is None else spec.header.lower(), spec.path)


def _headroom(spec: HeadroomSpec) -> Headroom:
    def lower(name: str | None) -> str | None:
        return None if name is None else name.lower()

    return Headroom(spec.left.lower(), lower(spec.resets), lower(spec.limit))


def _entry_auth(own: Auth, document: Document, out: Diagnostics, entry: AuthSpec, path: Path) -> Auth:
    """The auth of a `speaks` entry: another place for the same key."""
    auth = lower_auth(entry, document, path, out)
    if auth.scheme in _KEYS and auth.secrets and auth.secrets != own.secrets:
        out.add(
            "E422",
            "the key of a further format is the provider's own",
            document.key_span(path),
            help="leave the secret out, or name the one that the provider's `auth` names",
        )
    return auth


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
    regions = spec.regions or {}
    if spec.base_url is not None and regions and all(each.base_url is not None for each in regions.values()):
        out.add(
            "E402",
            "`base_url` and `regions` both say where it runs",
            document.key_span(("base_url",)),
            help="make it one of the regions",
        )
    for name, each in regions.items():
        if each.base_url is None and spec.base_url is None:
            out.add(
                "E402",
                f"the region `{name}` does not say where it runs",
                document.key_span(("regions", name)),
                help="write its `base_url`, or one for all regions with ${{ region }} in it",
            )
    if regions:
        return {
            name: Region(
                name,
                (each.base_url or spec.base_url or "").rstrip("/"),
                each.residency,
                each.price or 1.0,
                each.models,
            )
            for name, each in regions.items()
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
