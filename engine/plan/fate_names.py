"""What becomes of one sort of state when one plan replaces another, name by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Names:
    """What becomes of one sort of state. Lists are in the order of names."""

    survive: int = 0
    moves: dict[str, str] = field(default_factory=dict)  # new name -> old name
    resets: list[str] = field(default_factory=list)
    begins: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)  # of names that reset or begin

    def as_json(self, most: int | None = None) -> dict[str, Any]:
        """Lists of at most `most` names, with how many more there are; nothing that is empty."""
        rows = {
            "moves": [f"{old} -> {new}" for new, old in self.moves.items()],
            "resets": [self._told(name) for name in self.resets],
            "begins": [self._told(name) for name in self.begins],
            "ends": self.ends,
        }
        return {"survive": self.survive} | {key: _cut(names, most) for key, names in rows.items() if names}

    def __str__(self) -> str:
        told = [f"{self.survive} survive"]
        told += [f"{old} moves to {new}" for new, old in self.moves.items()]
        for verb, names in (("reset", self.resets), ("begin", self.begins), ("end", self.ends)):
            if names:
                listed = ", ".join(map(self._told, names))
                told.append(f"{listed} {verb}{'s' if len(names) == 1 else ''}")
        return "; ".join(told)

    def _told(self, name: str) -> str:
        return f"{name} ({self.why[name]})" if name in self.why else name


def _cut(names: list[str], most: int | None) -> list[str]:
    if most is None or len(names) <= most:
        return names
    return [*names[:most], f"... and {len(names) - most} more"]
