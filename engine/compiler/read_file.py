"""One file of a workspace as text: only a plain file, inside the workspace, of bounded size, in UTF-8."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from engine.compiler.text_lines import span_at
from engine.diagnostics import Diagnostics, Span

#: Largest file that is read. A workspace's real files are a few kilobytes.
MAX_BYTES: Final = 1024 * 1024

_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_text(base: Path, path: str, out: Diagnostics) -> tuple[str, str] | None:
    """Text (without a byte order mark) and sha256 of `base`/`path`.

    None, with a diagnostic, where it may not or cannot be read.
    """
    if not path.isprintable():  # a name that is not UTF-8 is not either: Python holds it as lone surrogates
        shown = ascii(path)[1:-1]
        message = f"the file name `{shown}` holds characters that cannot be printed"
        out.add("E009", message, Span(shown, 1, 1, 1, 1), help="rename it")
        return None
    whole = Span(path, 1, 1, 1, 1)
    try:
        target = (base / path).resolve(strict=True)
        if not target.is_relative_to(base):
            advice = "copy the file into the workspace"
            out.add(
                "E003",
                f"`{path}` is a link that leads outside the workspace, to `{target}`",
                whole,
                help=advice,
            )
            return None
        data = _read(target, path, whole, out)
    except FileNotFoundError:
        out.add("E005", f"`{path}` is a link to a file that does not exist", whole)
        return None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, on Python before 3.13
        reason = error.strerror if isinstance(error, OSError) else str(error)
        out.add("E005", f"`{path}` cannot be read: {reason}", whole)
        return None
    if data is None:
        return None
    text = _decode(data, path, whole, out)
    return None if text is None else (text, hashlib.sha256(data).hexdigest())


def _read(target: Path, path: str, whole: Span, out: Diagnostics) -> bytes | None:
    found = _not_a_file(target.stat().st_mode)
    if found is None:
        # O_NONBLOCK: should the file have become a FIFO since, opening it must not hang.
        handle = os.open(target, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            found = _not_a_file(os.fstat(handle).st_mode)
            data = file.read(MAX_BYTES + 1) if found is None else b""
        if found is None and len(data) <= MAX_BYTES:
            return data
    if found is not None:
        out.add(
            "E004", f"`{path}` is {found}, not a file", whole, help="only plain files may end in .yaml here"
        )
        return None
    shown = f"{target.stat().st_size / MAX_BYTES:.1f}"
    advice = "split it: every section may be spread over several files"
    out.add("E008", f"`{path}` is {shown} MiB; a file may hold at most 1 MiB", whole, help=advice)
    return None


def _not_a_file(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    return next((name for test, name in _KINDS if test(mode)), "not a plain file")


def _decode(data: bytes, path: str, whole: Span, out: Diagnostics) -> str | None:
    if _is_utf16(data):
        advice = "save it as UTF-8 (in most editors: Save with encoding)"
        out.add("E006", f"`{path}` is in UTF-16; files are read as UTF-8", whole, help=advice)
        return None
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        advice = "save the file as UTF-8; it looks like Latin-1 or Windows-1252"
        out.add("E006", message, span_at(path, before, len(before)), help=advice)
        return None


def _is_utf16(data: bytes) -> bool:
    """By its byte order mark, or by every second byte of its beginning being zero."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    even, odd = data[0:8:2], data[1:8:2]
    return len(data) >= 4 and ((not any(even) and all(odd)) or (all(even) and not any(odd)))
