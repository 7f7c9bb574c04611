"""Brings up a worker: checks the folders, tries the execution providers, waits until one answers.

The worker tries the candidates itself; a provider that crashes it or hangs ends the process, is written down
as skipped, and a new worker goes on with the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.local.errors import ModelError
from engine.local.process import WorkerProcess
from engine.local.protocol import Candidate, Load, Ready, Skipped
from engine.local.providers import check_variants, installed_variants, rule_out
from engine.local.store import open_folder

log = logging.getLogger("engine.local")

#: One folder for every provider, or a folder for each.
Folders = Path | Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Launched:
    """A worker that answers. Its callbacks are still the launcher's: set them before the next await."""

    process: WorkerProcess
    ready: Ready
    skipped: tuple[Skipped, ...]  # every provider before the chosen one, in order


async def launch(
    folders: Folders, execution_providers: Sequence[str], *, threads: int | None, live: int, trial_s: float
) -> Launched:
    """Starts a worker on the first provider that works; `trial_s` is each one's time limit.

    Raises `ModelError`: `no_provider` with why each was skipped, `start_failed`, those of the folders.
    """
    variant = check_variants(installed_variants())
    skipped: list[Skipped] = []
    candidates: list[Candidate] = []
    for provider in execution_providers:
        folder = folders if isinstance(folders, Path) else folders.get(provider)
        why = rule_out(provider, variant) or (None if folder else "`path` has no folder for it")
        if why or folder is None:
            skipped.append(Skipped(provider=provider, why=str(why)))
        else:
            candidates.append(Candidate(provider=provider, folder=str(folder)))
    for folder in dict.fromkeys(Path(candidate["folder"]) for candidate in candidates):
        await asyncio.to_thread(open_folder, folder)
    while candidates:
        outcome = await _attempt(Load(op="load", candidates=candidates, threads=threads, live=live), trial_s)
        if isinstance(outcome, Launched):
            _log(outcome, skipped)
            return Launched(outcome.process, outcome.ready, (*skipped, *outcome.skipped))
        skipped += outcome
        tried = {entry["provider"] for entry in outcome}
        candidates = [candidate for candidate in candidates if candidate["provider"] not in tried]
    reasons = "; ".join(f"{entry['provider']}: {entry['why']}" for entry in skipped)
    raise ModelError(
        "no_provider",
        f"the model runs on none of {', '.join(execution_providers)} ({reasons})",
        "add `cpu` to execution_providers if the CPU may be used; `engine doctor` shows what is here",
    )


async def _attempt(command: Load, trial_s: float) -> Launched | list[Skipped]:
    """One worker: ready, or the providers it went through in vain (at least one)."""
    reports: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    process = await WorkerProcess.spawn(reports.put_nowait, lambda: reports.put_nowait(None))
    try:
        process.send(command)
        trying, why = "", ""
        before: list[Skipped] = []
        while True:
            try:
                report = await asyncio.wait_for(reports.get(), trial_s)
            except TimeoutError:
                why = f"it gave no sign for {trial_s:g} s"
                process.kill()
                continue
            if report is None:  # it ended
                if not trying:
                    advice = "`engine doctor` checks what local models need"
                    raise ModelError("start_failed", why or process.epitaph(), advice)
                return [*before, Skipped(provider=trying, why=why or process.epitaph())]
            match report["ev"]:
                case "trying":
                    trying, before = report["provider"], report["skipped"]
                case "ready":
                    return Launched(process, cast(Ready, report), tuple(report["skipped"]))
                case "failed":
                    await process.gone()
                    return list(report["skipped"])
    except BaseException:
        process.kill()
        await process.gone()  # a moment: whoever gave up finds no process left
        raise


def _log(launched: Launched, ruled_out: list[Skipped]) -> None:
    ready = launched.ready
    log.info(
        "local model ready: pid %s on %s in %.2f s, onnxruntime-genai %s, telemetry %s",
        ready["pid"], ready["provider"], ready["loaded_s"], ready["version"], ready["telemetry"],
    )  # fmt: skip
    for entry in (*ruled_out, *launched.skipped):
        log.warning("execution provider %s skipped: %s", entry["provider"], entry["why"])
