"""What a compile brings across the process boundary: one JSON line of header, then the canonical plan.

The header holds the diagnostics as data, the same rendered for people, and the process's settings. The plan
follows as it is, so that its digests can be checked without parsing it twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from engine.control.settings import ProcessSettings
from engine.plan.codec import PlanDecodeError
from engine.plan.plan import Plan


class CompileFault(Exception):
    """The compiling child did not do its work: it could not be started, died, or took too long."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compile's result. `plan` and `settings` are None where a diagnostic is an error.

    diagnostics: each in the contract's JSON form. rendered: all of them as text for a terminal.
    """

    plan: Plan | None
    settings: ProcessSettings | None
    diagnostics: tuple[dict[str, Any], ...]
    rendered: str

    def dump(self) -> bytes:
        """What `load` reads."""
        header = {
            "settings": self.settings.as_json() if self.settings else None,
            "diagnostics": self.diagnostics,
            "rendered": self.rendered,
        }
        body = self.plan.dump() if self.plan is not None else b""
        return json.dumps(header).encode() + b"\n" + body

    @classmethod
    def load(cls, data: bytes) -> Compiled:
        """Raises CompileFault where the child was cut off or wrote something else."""
        head, _newline, body = data.partition(b"\n")
        try:
            header = json.loads(head)
            settings = header["settings"]
            return cls(
                plan=Plan.load(body) if body else None,
                settings=ProcessSettings.from_json(settings) if settings is not None else None,
                diagnostics=tuple(header["diagnostics"]),
                rendered=header["rendered"],
            )
        except (ValueError, KeyError, TypeError, PlanDecodeError) as error:
            raise CompileFault(f"the compiler's output does not read: {type(error).__name__}") from error
