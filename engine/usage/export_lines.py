"""Calls as JSON Lines: an object a line, moments as RFC 3339, by orjson."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from engine.usage.export import Beside, Row
from engine.usage.sums import UsageFault


class Lines:
    """path: the file; None: stdout."""

    def __init__(self, path: Path | None) -> None:
        self._beside = None if path is None else Beside(path)
        self._file: BinaryIO = sys.stdout.buffer

    def __enter__(self) -> Self:
        if self._beside is not None:
            try:
                self._file = self._beside.part.open("wb")
            except OSError as error:
                raise UsageFault(f"{self._beside.path} cannot be written: {error.strerror}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._beside is not None:
            self._file.close()
            self._beside.done(kind is None)

    def write(self, rows: list[Row]) -> None:
        self._file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
