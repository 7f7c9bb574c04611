"""A job at a vendor, read: how it stands, and where further calls about it go.

The addresses come out of a vendor's answer, so they are judged before anything is sent there: the host of the
deployment's own base URL gets its credential, a host that the dialect names gets none, any other gets no
call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from engine.plan.code import bind_template
from engine.plan.vendors import Poll, PollCall

_PORTS: Final = {"http": 80, "https": 443}
_FORBIDDEN: Final = frozenset('\\ "<>^`{|}')

Which = Literal["at", "result", "cancel", "stream"]
State = Literal["pending", "succeeded", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a further call goes. own: the deployment's own host, which is shown the credential."""

    method: str
    url: str
    own: bool


class BadPlaceError(ValueError):
    """The vendor's answer names no address, or one that no call may go to."""


class BoundPoll:
    """A `Poll` as functions."""

    def __init__(self, plan: Poll) -> None:
        self.plan = plan
        self._status = bind_template(plan.status)
        self._states: dict[str, State] = {
            **dict.fromkeys(plan.failed, "failed"),
            **dict.fromkeys(plan.succeeded, "succeeded"),
            **dict.fromkeys(plan.pending, "pending"),
        }
        calls: dict[Which, PollCall | None] = {
            "at": plan.at, "result": plan.result, "cancel": plan.cancel, "stream": plan.stream,
        }  # fmt: skip
        self._calls = {
            which: (bind_template(call.address), call.whole, call.method)
            for which, call in calls.items()
            if call is not None
        }

    def state(
        self, body: Any, headers: Mapping[str, str], target: Mapping[str, Any]
    ) -> tuple[State | None, str]:
        """How the job stands, and the vendor's word for it; None: the answer is no job, but final."""
        word = self._status(body, headers, target)
        if word is None:
            return None, ""
        return self._states.get(str(word), "unknown"), str(word)

    def has(self, which: Which) -> bool:
        """Whether there is such a call at all."""
        return which in self._calls

    def place(self, which: Which, body: Any, headers: Mapping[str, str], target: Mapping[str, Any]) -> Place:
        """Where that call goes. Raises BadPlaceError."""
        template, whole, method = self._calls[which]
        made = template(body, headers, target)
        base = str(target["base_url"])
        if not isinstance(made, str) or not made:
            raise BadPlaceError("the answer does not say where to ask for it")
        url = made if whole else base + made
        return Place(method, url, _own(url, base, self.plan.hosts))


def _own(url: str, base: str, hosts: tuple[str, ...]) -> bool:
    """Whether an address is on the base URL's host. Raises BadPlaceError where no call may go there."""
    parts, home = _parts(url), _parts(base)
    if parts is not None and home is not None:
        if _origin(parts) == _origin(home):
            return True
        if parts.scheme == "https" and _origin(parts)[2] == 443 and _named(parts.hostname or "", hosts):
            return False
    where = "an address that is none" if parts is None else f"`{parts.hostname}`"
    raise BadPlaceError(f"the answer sends to {where}, which is not the host that was called")


def _parts(url: str) -> SplitResult | None:
    """The parts of a plain address; None of anything that two readers could read differently."""
    if not url.isascii() or not url.isprintable() or not _FORBIDDEN.isdisjoint(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    plain = parts.scheme in _PORTS and parts.hostname and "@" not in parts.netloc and not parts.fragment
    return parts if plain else None


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or _PORTS[parts.scheme]


def _named(host: str, hosts: tuple[str, ...]) -> bool:
    return any(
        host.endswith(each[1:]) and len(host) >= len(each) if each.startswith("*.") else host == each
        for each in hosts
    )
