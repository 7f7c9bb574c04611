"""Limits of a sidecar of several processes: with a SQLite store they are one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest
from running import CHAT, HELLO, write_workspace
from serving import serve
from vendor import Vendor

ROUTES = """\
limits:
  together: {per: key.id, requests: 20/h}
  host: {per: key.id, requests: 20/h, scope: host}
routes:
  together: {start: {respond: A fixed text.}, limits: [together]}
  host: {start: {respond: A fixed text.}, limits: [host]}
"""


@pytest.mark.skipif(os.name != "posix", reason="several workers need a POSIX system")
async def test_workers_count_together(vendor: Vendor, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ws", vendor.port, routes=ROUTES)
    (folder / "engine.yaml").write_text("listen: 127.0.0.1:0\nworkers: 2\n")
    limits = httpx.Limits(max_keepalive_connections=0)  # every request may come to another worker
    async with (
        serve(folder, "--no-watch") as served,
        httpx.AsyncClient(timeout=30, trust_env=False, limits=limits) as client,
    ):

        async def passed(model: str) -> int:
            body = {"model": model, "messages": HELLO}
            answers = await asyncio.gather(*(client.post(served.url + CHAT, json=body) for _ in range(80)))
            assert {answer.status_code for answer in answers} <= {200, 429}
            return sum(answer.status_code == 200 for answer in answers)

        assert await passed("together") == 20
        assert await passed("host") == 20, "the file is the host's"
        assert (folder / ".engine" / "state.db").exists()
