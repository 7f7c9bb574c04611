"""The judges (`strict.py`) and the corpus (`corpus.py`) are modules of this folder that its tests import."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
