"""How a local model is to be run, and how it is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.local.protocol import Skipped

State = Literal["new", "starting", "ready", "backoff", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is run. Two deployments with other options have two workers."""

    threads: int | None = None  # None: ONNX Runtime's choice, a thread a physical core
    live: int = 4  # requests generating at once
    waiting: int = 32  # requests waiting for their turn; more are `overloaded`
    trial_s: float = 120.0  # an execution provider may take to load the model and say a token
    stop_s: float = 2.0  # a worker may take to end
    backoff_first_s: float = 0.5  # before the first restart; doubled for each further one, with jitter
    backoff_most_s: float = 30.0
    steady_s: float = 60.0  # a worker that lived so long starts the delays anew


@dataclass(frozen=True, slots=True)
class Status:
    """What `/admin/status`, `engine doctor` and the metrics tell about a model."""

    name: str
    state: State
    why: str | None  # of `backoff` and `failed`
    pid: int | None
    provider: str | None  # the execution provider in use
    skipped: tuple[Skipped, ...]  # earlier entries of execution_providers, and why not
    restarts: int
    loaded_s: float | None
    rss: int | None  # bytes; known on Linux
    open: int  # requests, live and waiting
    context: int | None  # tokens
    telemetry: str | None  # of ONNX Runtime in the worker: "off"
    retry_in_s: float | None  # with `backoff`


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process in bytes, where the system shows it."""
    if sys.platform != "linux":
        return None
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None  # it just ended
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
