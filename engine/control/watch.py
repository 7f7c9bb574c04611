"""Tells when a workspace's content has changed: receive -> settle -> drop equal -> one signal.

watchfiles reports events in the folders that a workspace reads from (folders, not files: an editor that
saves by renaming, or a ConfigMap that swaps a symlink, replaces the file that was watched). An event only
says "look": contents are hashed until they are twice the same, the debounce apart, so a half-written file is
never compiled. A poll backs it up where events do not come: on network file systems, where a folder was
replaced by another or mounted over, where nothing of a file changed but what it holds. It also tells the
events' watch to begin anew once other folders stand where it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from engine.control import fingerprint
from engine.observe.log import Log

#: Events of one save come within this time, where no setting says otherwise.
SETTLE_S: Final = 0.05
#: How often files are looked at without an event.
POLL_S: Final = 1.0


async def changes(
    root: Path,
    known: Callable[[], str],
    log: Log,
    *,
    poll_s: float = POLL_S,
    settle_s: Callable[[], float] = lambda: SETTLE_S,
) -> AsyncIterator[str]:
    """Yields the digest of each new content of the workspace.

    known: the digest of what was compiled last. It is asked, not remembered: whoever is told of a content
    reads the files later, and may have compiled what stood there in between, until it was taken back.
    settle_s: how long a content must stand still; asked at each change, because a reload may change it.
    While the consumer works, changes are collected; it gets the latest only.
    """
    look, watches = asyncio.Event(), _Watches(root)
    tasks = [
        asyncio.create_task(_events(watches, look, log)),
        asyncio.create_task(_poll(watches, look, poll_s)),
    ]
    try:
        while True:
            await look.wait()
            look.clear()
            new = await _settled(root, look, settle_s())
            if new != known():
                yield new
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Watches:
    """Which folders are listened to now."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: tuple[fingerprint.Folder, ...] = ()
        self.anew = asyncio.Event()

    async def look(self) -> None:
        """The folders that are there now are those to listen to."""
        self.anew = asyncio.Event()
        self.folders = await asyncio.to_thread(fingerprint.folders, self.root)

    async def check(self) -> None:
        """Ask to listen anew where other folders are there now."""
        if await asyncio.to_thread(fingerprint.folders, self.root) != self.folders:
            self.anew.set()


async def _settled(root: Path, look: asyncio.Event, settle_s: float) -> str:
    """The content once it has stopped changing."""
    last = await asyncio.to_thread(fingerprint.content, root)
    while True:
        await asyncio.sleep(settle_s)
        look.clear()
        now = await asyncio.to_thread(fingerprint.content, root)
        if now == last:
            return now
        last = now


async def _events(watches: _Watches, look: asyncio.Event, log: Log) -> None:
    """Set `look` at every event; listen anew when folders come, go or are replaced."""
    # Deferred: it brings a thread pool and anyio along, which a sidecar without --watch does not need.
    from watchfiles import awatch

    while True:
        await watches.look()
        look.set()  # nobody listened to these folders until now: what happened there meanwhile is not told
        if not watches.folders:
            await watches.anew.wait()
            continue
        seen = awatch(
            *(folder.path for folder in watches.folders),
            watch_filter=None,
            debounce=20,
            step=5,
            recursive=False,
            rust_timeout=1000,
            stop_event=watches.anew,
        )
        try:
            async with contextlib.aclosing(seen) as events:
                async for _ in events:
                    look.set()
                    await watches.check()
        except (OSError, RuntimeError) as error:
            # No more inotify watches, or a folder went away just now: the poll goes on seeing.
            log.warning("watch_failed", workspace=str(watches.root), error=type(error).__name__)
            await asyncio.sleep(POLL_S)


async def _poll(watches: _Watches, look: asyncio.Event, poll_s: float) -> None:
    last = await asyncio.to_thread(fingerprint.signature, watches.root)
    while True:
        await asyncio.sleep(poll_s)
        now = await asyncio.to_thread(fingerprint.signature, watches.root)
        if now != last:
            last = now
            look.set()
        await watches.check()
