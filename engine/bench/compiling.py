"""What compiling costs: all of `providers.d/` and a workspace of three vendors, cold and from the cache.

Each figure comes from a process of its own, so that nothing is warm but the disk; importing the compiler is
not in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from engine.bench.process import BenchError
from engine.bench.report import Report
from engine.builtin import builtin_root
from engine.compiler.cache import VARIABLE

#: Milliseconds for everything that is shipped, without the cache.
BAR_MS: Final = 800.0

_WORKSPACE: Final = """
routes: {r: {start: {fallback: [a, b, c]}}}
deployments:
  a: {provider: openai, model: gpt-4o-mini}
  b: {provider: anthropic, model: claude-haiku-4-5}
  c: {provider: groq, model: llama-3.3-70b-versatile}
"""
_CHILD: Final = """
import json, sys, time
from pathlib import Path
from engine.compiler.pipeline import compile_folder
begun = time.perf_counter()
done = compile_folder(Path(sys.argv[1]))
seconds = time.perf_counter() - begun
read = [path for path in done.texts() if path.startswith("builtin:providers.d/") and "/dialects/" not in path]
print(json.dumps({"seconds": seconds, "read": len(read), "revision": done.plan and done.plan.revision}))
"""


def measure(report: Report, smoke: bool) -> None:
    """Add the rows to `report`. Raises `BenchError` where a workspace does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        three = Path(folder) / "three"
        (three / "routes").mkdir(parents=True)
        (three / "routes" / "main.yaml").write_text(_WORKSPACE)
        cache, none = str(Path(folder) / "cache"), ""
        rounds = 1 if smoke else 5
        cold = [_compile(builtin_root(), none) for _ in range(rounds)]
        small = [] if smoke else [_compile(three, none) for _ in range(rounds)]
        for each in (three,) if smoke else (builtin_root(), three):
            _compile(each, cache)
        kept = [] if smoke else [_compile(builtin_root(), cache) for _ in range(rounds)]
        kept_small = [_compile(three, cache) for _ in range(rounds)]
    if len({each["revision"] for each in (*cold, *kept)}) > 1:
        report.void = "the plan from the cache is another"
    report.add("compile all of providers.d, cold", _median(cold), "ms", at_most=BAR_MS)
    if not smoke:
        report.add("compile all of providers.d, from the cache", _median(kept), "ms")
        report.add("compile a workspace of three vendors, cold", _median(small), "ms")
    report.add("compile a workspace of three vendors, from the cache", _median(kept_small), "ms")
    report.add("provider files that it reads", kept_small[0]["read"], "files", at_most=3)


def _median(found: list[dict[str, Any]]) -> float:
    return statistics.median(float(each["seconds"]) for each in found) * 1e3


def _compile(root: Path, cache: str) -> dict[str, Any]:
    environment = {**os.environ, VARIABLE: cache}
    command = [sys.executable, "-c", _CHILD, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`{root}` cannot be compiled: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["revision"] is None:
        raise BenchError(f"`{root}` does not compile: see `engine validate {root}`")
    return found
