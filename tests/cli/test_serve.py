"""`engine serve` on a terminal: what it tells a person, beside the JSON line for programs."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from engine.cli.serve import curl

pty = pytest.importorskip("pty", reason="needs a POSIX terminal")


def test_the_command_line_survives_a_shell() -> None:
    body = json.dumps({"model": "it's", "messages": [{"role": "user", "content": "a $HOME `b`"}]})
    words = shlex.split(curl("http://127.0.0.1:1", body))
    assert words[0] == "curl"
    assert words[words.index("-d") + 1] == body


def test_the_command_line_shows_a_key_where_one_is_asked_for() -> None:
    line = curl("http://127.0.0.1:1", "{}", key=True)
    assert '-H "authorization: Bearer $KEY"' in line  # in double quotes: the shell puts the key there
    assert "authorization" not in curl("http://127.0.0.1:1", "{}")


def test_it_tells_what_to_paste(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text("routes:\n  hello: {start: {respond: Good day.}}\n")
    (tmp_path / "engine.yaml").write_text("listen: 127.0.0.1:0\nstate: memory\n")
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "engine", "serve", str(tmp_path), "--no-watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    try:
        assert process.stdout is not None
        hello = json.loads(process.stdout.readline())
        told = b""
        until = time.monotonic() + 30
        while b"curl" not in told or not told.endswith(b"\n"):
            told += os.read(screen, 65536)
            assert time.monotonic() < until
        paste = shlex.split(next(line for line in told.decode().splitlines() if "curl" in line))
        assert f"http://{hello['listen']}/admin/status" in told.decode()
        url, body = paste[paste.index("-s") + 1], paste[paste.index("-d") + 1]
        request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"] == "Good day."
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
        os.close(screen)
    assert process.returncode == 0


def test_what_never_ran_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "main.yaml").write_text("routes:\n  hello: {start: {respond: Good day.}}\n")
    (tmp_path / "engine.yaml").write_text("listen: 127.0.0.1:0\nadmin_key: env:ADMIN\n")
    state = tmp_path / "state"
    environment = {**os.environ, "ADMIN": "short", "ENGINE_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "engine", "serve", str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 2
    assert "admin_key is shorter" in ended.stderr
    assert list((state / "last-good").iterdir()) == []
