"""What the fault tests share is in `harness`; this makes it, and the servers' own, importable."""

from __future__ import annotations

import sys
from pathlib import Path

# tests are not packages
sys.path.append(str(Path(__file__).parents[1] / "server"))
sys.path.append(str(Path(__file__).parent))
