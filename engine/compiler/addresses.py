"""Where a deployment's calls go: the provider's addresses, their holes filled with region and settings.

A setting comes from a file that anybody may edit, and stands in a host or a path, so it may hold nothing that
would lead elsewhere: in a host only labels (before a domain of the vendor's, or the address vouches for no
residency), in a path only one segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from engine.compiler.document import Document, Path
from engine.compiler.resolve import there_is
from engine.diagnostics import Diagnostics
from engine.plan.vendors import Provider, Region
from engine.spec.fault import shown
from engine.spec.provider import ProviderSpec
from engine.spec.where import HOLE, SettingSpec, host_of, vouched, with_root

_LABELS: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~:@+=-]+")


def holes(address: str) -> set[str]:
    """The settings that an address needs."""
    return {name.removeprefix("settings.") for name in HOLE.findall(address) if name != "region"}


def filled(address: str, region: str, settings: Mapping[str, str]) -> str:
    """The address of one deployment."""

    def value(match: re.Match[str]) -> str:
        return region if match[1] == "region" else settings.get(match[1].removeprefix("settings."), "")

    return HOLE.sub(value, address).rstrip("/")


def spoken_url(base_url: str, entry_url: str | None, root: str | None, endpoint: bool) -> str | None:
    """The base URL of a further format; None where the deployment has an `endpoint` and the format an address
    of its own. `entry_url` is filled already.
    """
    if entry_url is not None:
        return None if endpoint else entry_url
    return base_url if root is None else with_root(base_url, root)


def spoken_urls(
    provider: Provider, base_url: str, region: str, settings: Mapping[str, str], *, endpoint: bool
) -> tuple[str | None, ...]:
    """The base URL of each of the provider's further formats, for one deployment."""
    return tuple(
        spoken_url(
            base_url,
            None if entry.base_url is None else filled(entry.base_url, region, settings),
            entry.root,
            endpoint,
        )
        for entry in provider.speaks
    )


def written_in(provider: Provider, region: Region) -> tuple[str, ...]:
    """The addresses that a deployment in this region fills."""
    return (region.base_url, *(entry.base_url for entry in provider.speaks if entry.base_url is not None))


def check_addresses(spec: ProviderSpec, document: Document, out: Diagnostics) -> None:
    """Faults of a provider file's addresses and settings."""
    declared = spec.settings or {}
    for path, address, residency in _addresses(spec):
        for name in sorted(holes(address) - declared.keys()):
            out.add(
                "E414",
                f"`settings.{name}` is not declared",
                document.span(path),
                help=there_is(name, declared) if declared else f"declare it: settings: {{{name}: ...}}",
            )
        if residency not in (None, "unknown") and not vouched(address):
            out.add(
                "E416",
                f"settings decide the host {host_of(address)}, so nobody can say that it lies in {residency}",
                document.span(path),
                help="end the host with the vendor's domain, or leave `residency` out: policies may state it",
            )
    for name, setting in declared.items():
        for key in ("default", "example"):
            value = getattr(setting, key)
            if value is not None and not fits(setting, value):
                out.add(
                    "E414",
                    f"the {key} {shown(value)} does not match the setting's own pattern",
                    document.span(("settings", name, key)),
                )


def fits(setting: SettingSpec, value: str) -> bool:
    """Whether a value looks as its pattern says."""
    import re2  # deferred: only providers with settings pay for it

    return setting.pattern is None or re2.fullmatch(setting.pattern, value) is not None


def unsafe(address: str, name: str, value: str) -> str | None:
    """Why the value of a setting cannot stand in an address, in words; None where it can, or does not."""
    hole = f"settings.{name}"
    host = host_of(address)
    if hole in HOLE.findall(host) and not _LABELS.fullmatch(value):
        return "a host holds letters, digits, `-` and dots only"
    if hole in HOLE.findall(address.partition("://")[2].removeprefix(host)) and not _SEGMENT.fullmatch(value):
        return "one segment of a path holds letters, digits and `._~:@+=-` only"
    return None


def _addresses(spec: ProviderSpec) -> Iterator[tuple[Path, str, str | None]]:
    """Every address that the file writes: where, what, and the residency that it claims."""
    for name, region in (spec.regions or {}).items():
        if region.base_url is not None:
            yield ("regions", name, "base_url"), region.base_url, region.residency
        elif spec.base_url is not None:
            yield ("base_url",), spec.base_url, region.residency
    if spec.base_url is not None and not spec.regions:
        yield ("base_url",), spec.base_url, spec.residency
    for number, entry in enumerate(spec.speaks or ()):
        if entry.base_url is not None:
            regions = (spec.regions or {}).values()
            claimed = (*(each.residency for each in regions), spec.residency)
            stated = next((zone for zone in claimed if zone is not None and zone != "unknown"), None)
            yield ("speaks", number, "base_url"), entry.base_url, stated
