"""`deployments:` the places that serve one model each."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator
from typing_extensions import TypeAliasType

from engine.spec.address import BaseUrl
from engine.spec.concurrency import Concurrent
from engine.spec.containers import Some
from engine.spec.defaults import PRINTED
from engine.spec.fault import fault
from engine.spec.health import Breaker, Probe
from engine.spec.model import Spec, about
from engine.spec.names import CredentialName, LimitName, Name, Word
from engine.spec.one_or_more import OneOrMore
from engine.spec.plain import Fraction, Positive, Text
from engine.spec.price import DeploymentPrice

ExecutionProvider = TypeAliasType("ExecutionProvider", Literal["cpu", "cuda", "directml"])

#: The provider whose models run in the engine's own worker, and the keys that only it reads.
LOCAL_PROVIDER = "onnx"
LOCAL_KEYS = ("execution_providers", "path", "threads")


class Deployment(Spec):
    """One place that serves one model: the identity that health, limits and latency hang on."""

    noun: ClassVar[str] = "deployment"

    provider: Name = about(
        "The vendor: a file in providers.d/, shipped or your own.", required=True, examples=["openai"]
    )
    model: Text = about(
        "The vendor's model, as the provider file names it; `*` passes the name on that the client asked "
        "for.",
        required=True,
        examples=["gpt-5-mini"],
    )
    region: Name | None = about(
        "One of the provider's regions: decides host, residency and price. Must be named where a residency "
        "applies.",
        shown=PRINTED["deployment.region"],
        examples=["eu"],
    )
    credentials: OneOrMore[CredentialName] | None = about(
        "One credential, or a list that is rotated.", shown=PRINTED["deployment.credentials"]
    )
    endpoint: BaseUrl | None = about(
        "Another address than the provider's; its residency is `unknown` until a policy says otherwise."
    )
    settings: dict[Word, Text] | None = about(
        "The values that the provider's `settings` ask for: an account, a resource, a project.",
        examples=[{"resource": "acme-eu"}],
    )
    wire_model: Text | None = about("The model's name on the wire, where it is not the provider file's.")
    breaker: Breaker | None = about(
        "When calls to it stop for a while (docs/health.md).", shown=PRINTED["deployment.breaker"]
    )
    concurrent: Concurrent | None = about(
        "Most calls open at a time. Beyond that a call waits where there is a queue; else, and when that is "
        "full or took too long, it is skipped as `full`.",
        shown="no limit",
        examples=[20, {"most": 4, "queue": 100, "wait": "2s"}],
    )
    quality: Fraction | None = about(
        "How good its answers are, by a measure of your own: what `rank: quality` and `score` compare.",
        shown="what its model's facts say",
        examples=[0.8],
    )
    price: DeploymentPrice | None = about(
        "What its calls cost (docs/prices.md). `free`: nothing. `unknown`: budgets reserve nothing for them, "
        "and whoever writes it knows.",
        shown=PRINTED["deployment.price"],
        examples=[{"input": "$0.15/M", "output": "$0.60/M"}, {"second": "$0.0001"}, "free"],
    )
    limits: Some[LimitName] | None = about("The vendor's quota, as named limits.")
    probe: Probe | None = about(
        "Probes its health in the background.", shown="none", examples=[{"every": "1m"}]
    )

    execution_providers: Some[ExecutionProvider] | None = about(
        "Local models: what may run them, tried in this order. Never the CPU unless it is in the list.",
        shown="[cpu]",
    )
    path: Text | None = about("Local models: a folder in place of the model store's.")
    threads: Positive | None = about(
        "Local models: CPU threads of the worker.", shown="the machine's physical cores"
    )

    @model_validator(mode="after")
    def _local_keys(self) -> Self:
        for key in LOCAL_KEYS:
            if self.provider != LOCAL_PROVIDER and getattr(self, key) is not None:
                raise fault(
                    "E110",
                    f"`{key}` is read for local models only (provider `{LOCAL_PROVIDER}`)",
                    "remove it",
                    at=(key,),
                )
        if self.probe is not None and self.model == "*":
            raise fault(
                "E113",
                '`probe` and `model: "*"` exclude each other',
                "probe a deployment of one model: of this one nobody knows which to ask",
                at=("probe",),
            )
        if self.execution_providers is not None:
            _once(self.execution_providers, "execution_providers")
        if self.credentials is not None:
            _once(self.credentials, "credentials")
        return self


def _once(names: tuple[Any, ...], key: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise fault("E113", f"`{name}` is named twice", "name it once", at=(key, index))
