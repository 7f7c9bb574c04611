"""The engine's own log: one JSON object a line on stderr, plain text where a person reads it.

A line says what happened (`event`) and its numbers and names, never a prompt, an answer or a secret. One
encoder writes every line: text is ASCII with all else escaped, values are capped, so a line is always one
line and a terminal is never sent a control byte. `ENGINE_LOG` sets the level: debug, info (default),
warning, error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from typing import Any, Final, Literal, TextIO

Level = Literal["debug", "info", "warning", "error"]

_RANK: Final[dict[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

#: No text of a line is longer than this.
MAX_TEXT: Final = 2000

#: No list of a line is longer than this: a thousand diagnostics are in /admin/status, not in the log.
MAX_ITEMS: Final = 20


class Log:
    """Writes lines to `stream` (default: stderr as it is at each write)."""

    def __init__(
        self, level: Level = "info", *, stream: TextIO | None = None, text: bool | None = None
    ) -> None:
        self._stream = stream
        self._rank = _RANK[level]
        self._text = text

    @classmethod
    def from_environment(cls) -> Log:
        """The log that `ENGINE_LOG` asks for; an unknown level is info."""
        level = os.environ.get("ENGINE_LOG", "info").lower()
        return cls(level if level in _RANK else "info")  # type: ignore[arg-type] # the keys are the levels

    def wants(self, level: Level) -> bool:
        """Whether a line of that level is written at all: ask before building a costly one."""
        return _RANK[level] >= self._rank

    def debug(self, event: str, **fields: Any) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def fault(self, event: str, error: BaseException, **fields: Any) -> None:
        """A fault of the engine itself: the exception's type and place, not its text, which may quote."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self._write("error", event, {**fields, "exception": type(error).__name__, "where": where})

    def _write(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        if _RANK[level] < self._rank:
            return
        stream = self._stream or sys.stderr
        text = self._text
        if text is None:
            text = stream.isatty()
        line = _text_line(level, event, fields) if text else _json_line(level, event, fields)
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads stderr any more; serving goes on


class LogHandler(logging.Handler):
    """Sends what libraries log (uvicorn, asyncio) through the one encoder; an exception as type and place."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.fault("library_fault", error, logger=record.name)
        elif record.levelno >= logging.ERROR:
            self._log.error("library", logger=record.name, message=record.getMessage())
        else:
            self._log.warning("library", logger=record.name, message=record.getMessage())


def _stamp() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"


def _json_line(level: str, event: str, fields: dict[str, Any]) -> str:
    line = {"at": _stamp(), "level": level, "event": event}
    for name, value in fields.items():
        line[name] = _capped(value)
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=_other).replace(
        "\x7f", "\\u007f"
    )


def _text_line(level: str, event: str, fields: dict[str, Any]) -> str:
    shown = [f"{name}={_plain(_capped(value))}" for name, value in fields.items() if value is not None]
    return " ".join([time.strftime("%H:%M:%S"), level.upper().ljust(7), event, *shown])


def _plain(value: Any) -> str:
    """A value for people: text without quotes where it needs none."""
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value:
        return value
    return json.dumps(value, ensure_ascii=True, default=_other).replace("\x7f", "\\u007f")


def _capped(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + f"... ({len(value)} characters)"
    if isinstance(value, dict):
        return {str(key)[:MAX_TEXT]: _capped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        kept = [_capped(item) for item in value[:MAX_ITEMS]]
        return kept if len(value) <= MAX_ITEMS else [*kept, f"and {len(value) - MAX_ITEMS} more"]
    return value


def _other(value: object) -> str:
    """What JSON does not know is named by its type, never printed: its text could hold anything."""
    return f"<{type(value).__name__}>"
