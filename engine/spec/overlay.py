"""`envs/NAME/*.yaml`: what is different in one environment.

An overlay has the sections of routes/, and only what differs: maps merge, lists and scalars replace, `null`
removes. It may touch only what exists, so that a mistyped name is an error; an entry that is new says
`$add: true`. What it makes of the workspace is validated as if it had been written so.
"""

from __future__ import annotations

from typing import Final

#: Stands on an entry of a section that the overlay adds.
ADD: Final = "$add"
