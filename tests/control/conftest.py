"""The sidecar's helpers, for tests of reloading it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "upstream"))
sys.path.append(str(Path(__file__).parent.parent / "server"))
