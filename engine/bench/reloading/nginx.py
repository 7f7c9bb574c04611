"""nginx before the same vendor, reloading under the same clients: for comparison, where it is installed."""

from __future__ import annotations

import asyncio
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from engine.bench.process import BenchError
from engine.bench.reloading.world import Clients, Counts, Streams

_CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://vendor;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
      add_header X-Revision {revision};
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What its clients saw, and how often it reloaded."""

    reloads: int
    counts: Counts


def installed() -> str | None:
    """Where nginx is."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


async def run(
    program: str,
    folder: Path,
    vendor: int,
    streams: Streams,
    *,
    reloads: int,
    every_s: float,
    busy: int,
    held: int,
) -> Ran:
    """Reload it `reloads` times under `busy` clients and `held` streams."""
    port = _free_port()
    config = folder / "nginx.conf"

    def write(revision: int) -> None:
        config.write_text(_CONFIG.format(folder=folder, vendor=vendor, port=port, revision=revision))

    write(0)
    command = [program, "-p", str(folder), "-c", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listens(port, process)
        clients = Clients(f"127.0.0.1:{port}", "bench")
        await clients.come(busy, held)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(reloads):
            await asyncio.sleep(max(0.0, began + number * every_s - loop.time()))
            write(number // 2)  # every other one is a changed configuration
            signal = await asyncio.create_subprocess_exec(
                *command, "-s", "reload", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            await signal.wait()
        await clients.leave(streams)
        return Ran(reloads, clients.counts)
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.returncode is not None:
                break
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise BenchError("nginx did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
