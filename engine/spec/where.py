"""Where a provider runs: addresses that a deployment's settings and region complete, and those settings."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import PlainValidator
from typing_extensions import TypeAliasType

from engine.spec.address import BaseUrl, checked_base_url
from engine.spec.dialect import Regex
from engine.spec.fault import fault, shown, wrong_type
from engine.spec.json_form import json_form
from engine.spec.model import Spec, about
from engine.spec.plain import Flag, Text

#: What can stand in an address: `${{ region }}` and `${{ settings.NAME }}`.
HOLE: Final = re.compile(r"\$\{\{\s*(region|settings\.[a-z][a-z0-9_]*)\s*\}\}")


def _address(value: Any) -> str:
    """An address as written, after a look at what it is once its holes are filled."""
    if not isinstance(value, str):
        raise wrong_type(value, "an address that begins with https://", "https://api.acme.ai/v1")
    filled = HOLE.sub("x", value)
    if "${{" in filled:
        raise fault(
            "E416",
            f"{shown(value)} holds more than a region and settings",
            "in an address only ${{ region }} and ${{ settings.NAME }} can stand",
        )
    if filled == value:
        return checked_base_url(value)
    if value.startswith("http://") and HOLE.search(value.removeprefix("http://").partition("/")[0]):
        raise fault(
            "E403",
            f"plain http to {shown(value)}, a host that settings decide: prompts and keys could be read",
            f"write https://{value.removeprefix('http://')}",
        )
    checked_base_url(filled)
    return value


AddressTemplate = TypeAliasType(
    "AddressTemplate",
    Annotated[
        str,
        PlainValidator(_address),
        json_form(
            r"^https?://[^?#@]+$",
            "An http or https address, in which `${{ region }}` and `${{ settings.NAME }}` may stand.",
            "https://api.acme.ai/v1",
            "https://${{ settings.resource }}.openai.azure.com/openai/v1",
        ),
    ],
)


def host_of(address: str) -> str:
    """The host of an address as written, holes and all."""
    return address.partition("://")[2].partition("/")[0]


def vouched(address: str) -> bool:
    """Whether the address says whose host it is: behind its last hole stands a domain of the vendor's."""
    host = host_of(address)
    rest = HOLE.split(host)[-1] if HOLE.search(host) else None
    return rest is None or re.fullmatch(r"[^.]*(\.[A-Za-z0-9-]+){2,}(:\d+)?", rest) is not None


def _root(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", value):
        raise wrong_type(value, "a path on the host that begins with /, or / for its root", "/anthropic")
    return value.rstrip("/")


#: A path that stands in place of the one of the provider's address.
Root = Annotated[
    str, PlainValidator(_root), json_form(r"^/", "A path on the provider's host.", "/anthropic", "/")
]


def with_root(address: str, root: str) -> str:
    """The address with another path."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{root}"


class SettingSpec(Spec):
    """A value that is no secret and that each deployment gives: an account, a resource, a project."""

    noun: ClassVar[str] = "setting"

    meaning: Text = about("What it is, for whoever has to give it.", required=True, alias="about")
    pattern: Regex | None = about("What it must look like, whole (RE2).", shown="any text")
    example: Text | None = about("One that it could be.")
    default: Text | None = about("What holds where a deployment does not give it.", shown="it must be given")
    optional: Flag | None = about("It may be left out.", shown="false")


__all__ = ["AddressTemplate", "BaseUrl", "Root", "SettingSpec", "host_of", "vouched", "with_root"]
