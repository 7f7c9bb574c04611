"""Calls as a Parquet file, by pyarrow: moments as timestamps in UTC, tags as a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from engine.usage.export import COLUMNS, Beside, Row, missing
from engine.usage.sums import UsageFault

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:
    raise missing("pyarrow", error) from None

_TYPES: dict[str, Any] = {
    "text": pa.string(),
    "whole": pa.int64(),
    "real": pa.float64(),
    "flag": pa.bool_(),
    "moment": pa.timestamp("ms", tz="UTC"),
    "map": pa.map_(pa.string(), pa.string()),
    "uses": pa.list_(
        pa.struct(
            [
                ("name", pa.string()),
                ("partition", pa.string()),
                ("reserved", pa.int64()),
                ("settled", pa.int64()),
            ]
        )
    ),
}

SCHEMA: Any = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS.items()])


class Parquet:
    """A batch of rows is a row group."""

    def __init__(self, path: Path) -> None:
        self._beside = Beside(path)

    def __enter__(self) -> Self:
        try:
            self._writer = parquet.ParquetWriter(self._beside.part, SCHEMA, compression="zstd")
        except OSError as error:
            raise UsageFault(f"{self._beside.path} cannot be written: {error.strerror or error}") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._writer.close()
        self._beside.done(kind is None)

    def write(self, rows: list[Row]) -> None:
        told = [{**row, "tags": list(row["tags"].items())} for row in rows]
        self._writer.write_table(pa.Table.from_pylist(told, SCHEMA))
