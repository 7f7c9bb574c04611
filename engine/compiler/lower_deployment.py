"""Deployments: a provider's region, model and credentials put together into one place that serves.

The facts of a model are those its provider file states, with the region's surcharge in the prices; the plan
never looks at this machine, so one revision means one thing on all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from engine.compiler.addresses import filled, holes, spoken_urls, written_in
from engine.compiler.document import Document, Path
from engine.compiler.lower_auth import lower_credential
from engine.compiler.lower_concurrency import concurrency
from engine.compiler.lower_health import breaker, probing
from engine.compiler.lower_price import priced
from engine.compiler.resolve import there_is
from engine.compiler.settings import given
from engine.compiler.suggest import did_you_mean
from engine.compiler.vendors import Vendor, Vendors
from engine.diagnostics import Diagnostics
from engine.plan.types import Call, Credential, Deployment
from engine.plan.values import Expr, Json
from engine.plan.vendors import Facts, Provider, Region
from engine.spec.deployment import LOCAL_KEYS
from engine.spec.deployment import Deployment as Spec
from engine.spec.workspace import Workspace
from engine.wire.pricing import regional

#: A deployment's model that passes on whatever name the client asked for.
ANY_MODEL = "*"
#: Models that a message lists; more would bury what it says.
_FEW = 12


class Deployments:
    """Lowers the deployments of one workspace."""

    def __init__(
        self,
        spec: Workspace,
        document: Document,
        vendors: Vendors,
        expressions: Mapping[Path, Expr],
        out: Diagnostics,
    ) -> None:
        self.spec = spec
        self.document = document
        self.vendors = vendors
        self.expressions = expressions
        self.out = out

    def lower(self, name: str) -> Deployment | None:
        """The deployment; None where its provider, region or model has a fault, which is told."""
        spec = self.spec.deployments[name]
        retired = self.vendors.retired(spec.provider)
        if retired is not None:
            place = self.document.span(("deployments", name, "provider"))
            self.out.add("E418", f"`{spec.provider}` is no more", place, help=retired)
            return None
        vendor = self.vendors.vendor(spec.provider)
        if vendor is None:
            return None
        provider = vendor.provider
        region = self._region(name, spec, provider)
        facts = self._facts(name, spec, vendor)
        if region is None or facts is None:
            return None
        self._check_model(name, spec, provider, region, facts)
        settings = self._settings(name, spec, vendor, region)
        own = spec.endpoint is not None
        base_url = (spec.endpoint or filled(region.base_url, region.name, settings)).rstrip("/")
        return Deployment(
            name=name,
            provider=provider.name,
            model=spec.model,
            wire_model=spec.wire_model or vendor.models.wire(spec.model),
            region=region.name,
            base_url=base_url,
            residency=self._residency(spec, vendor, region),
            credentials=self._credentials(spec, vendor),
            facts=priced(_surcharged(_judged(facts, spec.quality), region.price), spec.price),
            call=Call(),
            concurrent=concurrency(spec.concurrent),
            options=_options(spec),
            settings=settings,
            urls=spoken_urls(provider, base_url, region.name, settings, endpoint=own),
            breaker=breaker(spec.breaker),
            probe=probing(spec.probe),
            limits=tuple(dict.fromkeys(spec.limits or ())),
            uncounted=spec.price == "unknown",
        )

    def _settings(self, name: str, spec: Spec, vendor: Vendor, region: Region) -> dict[str, str]:
        addresses = written_in(vendor.provider, region)
        # What only addresses need is not needed where a deployment has its own.
        needless = {each for address in addresses for each in holes(address)} if spec.endpoint else ()
        return given(
            vendor.provider.name,
            vendor.settings,
            spec.settings or {},
            addresses=addresses,
            needless=needless,
            document=self.document,
            path=("deployments", name),
            out=self.out,
        )

    def _check_model(self, name: str, spec: Spec, provider: Provider, region: Region, facts: Facts) -> None:
        """The region serves the model, and the format that it needs is spoken."""
        at = self.document.span(("deployments", name, "model"))
        if region.models is not None and spec.model not in region.models:
            elsewhere = [
                each.name
                for each in provider.regions.values()
                if each.models is None or spec.model in each.models
            ]
            there = f"it is served in: {', '.join(elsewhere)}; " if elsewhere else ""
            self.out.add(
                "E420",
                f"the region `{region.name}` of {provider.name} does not serve `{spec.model}`",
                at,
                help=f"{there}there {there_is(spec.model, region.models)}",
            )
        spoken = {each.dialect for each in provider.speaks if each.when is None} | {provider.dialect}
        if facts.dialect is not None and facts.dialect not in spoken:
            self.out.add(
                "E419",
                f"`{spec.model}` is spoken to in `{facts.dialect}`, which {provider.name} does not list",
                at,
                help=f"in providers.d/{provider.name}.yaml: speaks: [{{dialect: {facts.dialect}}}]",
            )

    def _region(self, name: str, spec: Spec, provider: Provider) -> Region | None:
        wanted = spec.region or provider.default_region
        found = provider.regions.get(wanted)
        if found is None:
            path = ("deployments", name, "region") if spec.region else ("deployments", name)
            message = (
                f"{provider.name} has no region `{wanted}`"
                if spec.region
                else f"{provider.name} has several regions, and `{name}` names none"
            )
            advice = (
                there_is(wanted, provider.regions)
                if spec.region
                else ("add `region:`; " + there_is("", provider.regions))
            )
            place = self.document.span(path) if spec.region else self.document.key_span(path)
            self.out.add("E217", message, place, help=advice)
        return found

    def _facts(self, name: str, spec: Spec, vendor: Vendor) -> Facts | None:
        found = vendor.models.facts(spec.model)
        if found is not None:
            return found
        if spec.model == ANY_MODEL or vendor.models.unknown:
            return vendor.models.unlisted(spec.wire_model or spec.model)
        provider = vendor.provider.name
        self.out.add(
            "E218",
            f"{provider} has no model `{spec.model}`",
            self.document.span(("deployments", name, "model")),
            help=_models_there(spec.model, vendor)
            + f"; a new one goes to providers.d/{provider}.yaml (`extends: {provider}`)",
        )
        return None

    def _residency(self, spec: Spec, vendor: Vendor, region: Region) -> str:
        """Where data may be processed: what the model's own name says, for it leaves the region; then a
        policy's word; another endpoint is nobody's known host.
        """
        zone = vendor.models.zone(spec.wire_model or spec.model)
        if zone is not None and spec.endpoint is None:
            return zone
        provider = vendor.provider
        said = self.spec.residency or {}
        stated = said.get(f"{provider.name}.{region.name}", said.get(provider.name))
        if stated is not None:
            return stated
        return "unknown" if spec.endpoint is not None else region.residency

    def _credentials(self, spec: Spec, vendor: Vendor) -> tuple[Credential, ...]:
        if spec.credentials is None:
            return () if vendor.credential is None else (vendor.credential,)
        return tuple(self._credential(name) for name in spec.credentials)

    def _credential(self, name: str) -> Credential:
        spec = self.spec.credentials[name]
        provider = self.vendors.providers.canonical(spec.provider) or spec.provider
        return lower_credential(spec, provider, name, self.expressions.get(("credentials", name, "only")))


def _judged(facts: Facts, quality: float | None) -> Facts:
    """A deployment's own word on its quality goes before the model's."""
    return facts if quality is None else dataclasses.replace(facts, quality=quality)


def _models_there(wanted: str, vendor: Vendor) -> str:
    """What to write instead of a model that is not known; all of them, where they are few."""
    names = vendor.models.names()
    if len(names) <= _FEW:
        return there_is(wanted, names)
    guess = did_you_mean(wanted, names)
    return (f"did you mean `{guess}`? " if guess else "") + (
        f"`engine providers show {vendor.provider.name}` lists all that are known"
    )


def _surcharged(facts: Facts, factor: float) -> Facts:
    """The facts with the region's prices."""
    if not facts.prices or factor == 1.0:
        return facts
    return dataclasses.replace(facts, prices=regional(facts.prices, factor))


def _options(spec: Spec) -> dict[str, Json] | None:
    """What only the local provider reads."""
    found = {key: value for key in LOCAL_KEYS if (value := getattr(spec, key)) is not None}
    return found or None
