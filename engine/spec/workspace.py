"""A whole workspace as written: every section of `routes/` and `policies/`, after merging.

`RoutesFile` and `PoliciesFile` are what one file may hold; `Workspace` is what all of them hold together.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator, WithJsonSchema

from engine.spec.alert import Alert
from engine.spec.budget import Budget
from engine.spec.call import Defaults
from engine.spec.containers import Mapped, Section
from engine.spec.credential import Credential
from engine.spec.deployment import Deployment
from engine.spec.fault import fault, shown
from engine.spec.guard import Guard
from engine.spec.keys import Group, Keys
from engine.spec.limit import Limit
from engine.spec.model import Spec, about
from engine.spec.names import Zone
from engine.spec.nodes.node import Child
from engine.spec.require import Require
from engine.spec.route import Route

_PLACE = r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9][A-Za-z0-9_-]*)?"


def _place(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(_PLACE, value):
        raise fault("E111", f"{shown(value)} is no place", "write PROVIDER or PROVIDER.REGION")
    return value


Place = Annotated[
    str,
    PlainValidator(_place),
    WithJsonSchema({"type": "string", "pattern": f"^{_PLACE}$", "examples": ["acme.eu"]}),
]


class RoutesFile(Spec):
    """A file in routes/: any of these sections, in any order, spread over files as you like."""

    noun: ClassVar[str] = "workspace"

    deployments: Section[Deployment] = about(
        "The places that serve one model each.",
        default={},
        examples=[{"gpt": {"provider": "openai", "model": "gpt-5-mini"}}],
    )
    credentials: Section[Credential] = about("What is shown to vendors.", default={})
    routes: Section[Route] = about(
        "What clients ask for as `model`.", default={}, examples=[{"assistant": "gpt"}]
    )
    nodes: Section[Child] = about(
        "Named nodes; they share one namespace with deployments.",
        default={},
        examples=[{"best": {"fallback": ["gpt", "here"]}}],
    )
    budgets: Section[Budget] = about("Money in a time.", default={})
    limits: Section[Limit] = about("Requests and tokens in a time.", default={})
    guards: Section[Guard] = about("What may not go in or come out.", default={})
    keys: Keys | None = about("Client keys: organisations, tags, keys kept in Git.")
    groups: Section[Group] = about("Policy for people.", default={})
    alerts: Section[Alert] = about("Who is told.", default={})
    defaults: Defaults | None = about("What every route starts from.")


class Workspace(RoutesFile):
    """All sections of all files."""

    noun: ClassVar[str] = "workspace"

    require: Section[Require] = about("The floor: only in policies/.", default={})
    residency: Mapped[Place, Zone] | None = about(
        "Statements about where your own or patched providers process data: PROVIDER or PROVIDER.REGION to "
        "place. Only in policies/.",
        examples=[{"acme.eu": "eu"}],
    )


class PoliciesFile(Workspace):
    """A file in policies/: `require`, `residency`, and any section of routes/."""


#: Sections that count only from policies/.
POLICY_SECTIONS = ("require", "residency")
