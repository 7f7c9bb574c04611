"""Calls as rows of the table `engine_usage` in any database that SQLAlchemy knows.

A batch is one transaction: the rows with its keys are deleted and written anew, so that whatever is exported
again, or after an export that broke off, is there once. That is plain SQL, the same in every database.
"""

from __future__ import annotations

from typing import Any, Final, Self

from engine.plan.values import Secret
from engine.upstream.secrets import SecretMissing, Secrets
from engine.usage.export import COLUMNS, Row, missing
from engine.usage.sums import UsageFault

try:
    import sqlalchemy as sql
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
except ImportError as error:
    raise missing("SQLAlchemy", error) from None

TABLE: Final = "engine_usage"

_TYPES: Final[dict[str, Any]] = {
    "text": sql.String(512),
    "whole": sql.BigInteger(),
    "real": sql.Double(),
    "flag": sql.Boolean(),
    "moment": sql.DateTime(timezone=True),
    "map": sql.JSON(),
    "uses": sql.JSON(),
}
_KEY: Final = ("id", "attempt")


def table() -> sql.Table:
    """The table as it is made where there is none."""
    columns = [
        sql.Column(
            name, _TYPES[kind], primary_key=name in _KEY, autoincrement=False, index=name == "began_at"
        )
        for name, kind in COLUMNS.items()
    ]
    return sql.Table(TABLE, sql.MetaData(), *columns)


class Database:
    """url: without a password; `password` is where it is read, as `env:NAME` or `file:/path`."""

    def __init__(self, url: str, password: str | None) -> None:
        self._secret = ""
        self._engine = self._opened(url, password)
        self._table = table()

    def _opened(self, text: str, password: str | None) -> sql.Engine:
        try:
            url = sql.make_url(text)
        except (ArgumentError, ValueError):
            # Not repeated: a password may stand in it.
            raise UsageFault(
                "the database's URL does not read", "such as postgresql://user@host/name"
            ) from None
        if url.password is not None or any("pass" in name for name in url.query):
            raise UsageFault(
                "a password stands in the database's URL (it is not shown)",
                "leave it out, and say where it is read: --password env:NAME",
            )
        if password is not None:
            self._secret = _read(password)
            url = url.set(password=self._secret)
        try:
            return sql.create_engine(url, hide_parameters=True)
        except NoSuchModuleError:
            raise UsageFault(f"SQLAlchemy knows no database {url.drivername!r}") from None
        except ArgumentError:
            raise UsageFault(
                f"this is no URL of {url.get_backend_name()} (it is not shown)", "docs/usage.md has examples"
            ) from None
        except ImportError as error:
            raise UsageFault(
                f"the driver of {url.drivername}, {error.name}, is not installed", f"pip install {error.name}"
            ) from None

    def __enter__(self) -> Self:
        self._do(lambda: self._table.create(self._engine, checkfirst=True))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._engine.dispose()

    def write(self, rows: list[Row]) -> None:
        self._do(lambda: self._write(rows))

    def _write(self, rows: list[Row]) -> None:
        held = self._table.c
        same = sql.and_(*(held[name] == sql.bindparam(f"key_{name}") for name in _KEY))
        with self._engine.begin() as connection:
            connection.execute(
                self._table.delete().where(same),
                [{f"key_{name}": row[name] for name in _KEY} for row in rows],
            )
            connection.execute(self._table.insert(), rows)

    def _do(self, work: Any) -> None:
        try:
            work()
        except SQLAlchemyError as error:
            words = str(getattr(error, "orig", None) or error).splitlines()[0]
            if self._secret:
                words = words.replace(self._secret, "***")
            where = self._engine.url.render_as_string(hide_password=True)
            raise UsageFault(f"{where} does not take the rows: {words}") from None


def _read(place: str) -> str:
    source, _, name = place.partition(":")
    if source not in ("env", "file") or not name:
        # Not repeated: it may be the password itself.
        raise UsageFault("--password says where the password is read", "write env:NAME or file:/path")
    try:
        return Secrets().get(Secret(source, name)).reveal()  # type: ignore[arg-type] # one of the two
    except SecretMissing as error:
        raise UsageFault(str(error)) from None
