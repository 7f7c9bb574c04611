"""A SQLite file of the engine's own: made for its owner alone, and told from files of another form."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.state.store_fault import StoreFault


@dataclass(frozen=True, slots=True)
class Form:
    """What a file holds.

    name: for people. application, version: stand in the file's header, so that `file` tells it.
    tables: statements that make them. otherwise: what one may do with a file of another version.
    """

    name: str
    application: int
    version: int
    tables: str
    otherwise: str


def make(path: Path, form: Form) -> None:
    """Make the file and its folder where they are missing; a folder of the engine's own stays out of Git.

    Raises StoreFault where it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ignored = path.parent / ".gitignore"
        if path.parent.name == ".engine" and not ignored.exists():
            ignored.write_text("*\n")
        # Never opened here once it exists: closing it would take away SQLite's locks of this process.
        if not path.exists():
            with suppress(FileExistsError):  # made by another process meanwhile
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StoreFault(
            f"{form.name} {path} cannot be made: {error.strerror}; "
            "let the process write there, or name another place in engine.yaml, `state: sqlite:PATH`"
        ) from error


def prepare(db: sqlite3.Connection, path: Path, form: Form) -> None:
    """Have the tables in an empty file. Raises StoreFault where it is not of this form."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("BEGIN IMMEDIATE")
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in form.tables.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {form.application}")
            db.execute(f"PRAGMA user_version = {form.version}")
        elif application != form.application:
            raise StoreFault(f"{path} is another program's database; name another place in `state:`")
        elif version != form.version:
            raise StoreFault(
                f"{form.name} {path} has version {version}, and this engine reads version {form.version}: "
                f"{form.otherwise}"
            )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
