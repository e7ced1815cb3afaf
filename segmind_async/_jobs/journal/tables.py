"""Tables of a journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from .checksums import checksum
from .journal_error import damaged

APPLICATION = 0x5E6D1D
"""Marks the file as ours (`PRAGMA application_id`)."""

VERSION = 7

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL, digest BLOB NOT NULL, status TEXT NOT NULL, error_type TEXT, message TEXT,
    units INTEGER, seconds REAL, label TEXT, truth TEXT,
    attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, at REAL NOT NULL,
    row_index INTEGER, parsed TEXT, excerpt TEXT, source BLOB,
    replaced INTEGER NOT NULL DEFAULT 0, checksum INTEGER NOT NULL
);
CREATE TABLE answers (number INTEGER PRIMARY KEY, raw BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE submissions (
    request TEXT PRIMARY KEY, digest BLOB NOT NULL, at REAL NOT NULL, checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE drafts (
    key TEXT NOT NULL, digest BLOB NOT NULL, units INTEGER, raw BLOB NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE samples (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, facts TEXT NOT NULL, checksum INTEGER NOT NULL
);
"""


def create(database: sqlite3.Connection, settings: Mapping[str, object], facts: Mapping[str, object]) -> None:
    """Make a journal's tables, with *settings* and *facts*, in one transaction."""
    # One transaction: a crash in the middle leaves an empty file, which is opened as a new journal.
    database.execute("BEGIN IMMEDIATE")
    _create_tables(database)
    write_settings(database, settings)
    for name, value in facts.items():
        write_fact(database, name, value)
    database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.commit()


def are_ours(database: sqlite3.Connection) -> bool:
    """Return whether the tables are those of `create`, as SQLite has stored them."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    with closing(sqlite3.connect(":memory:")) as fresh:
        _create_tables(fresh)
        return fresh.execute(query).fetchall() == database.execute(query).fetchall()


def _create_tables(database: sqlite3.Connection) -> None:
    for statement in filter(str.strip, _TABLES.split(";")):
        database.execute(statement)


def read_settings(database: sqlite3.Connection, path: Path) -> dict[str, object]:
    """Return the settings of the job. Raises JournalError, which names *path*, if one is damaged."""
    query = "SELECT name, value, checksum FROM meta WHERE name LIKE 'setting %'"
    found = database.execute(query).fetchall()
    for name, text, whole in found:
        if checksum(name, text) != whole:
            raise damaged(path, f"in its {name}")
    return {name.removeprefix("setting "): json.loads(text) for name, text, _ in found}


def write_settings(database: sqlite3.Connection, settings: Mapping[str, object]) -> None:
    """Replace the settings of the job."""
    database.execute("DELETE FROM meta WHERE name LIKE 'setting %'")
    for name, value in settings.items():
        write_fact(database, f"setting {name}", value)


def write_fact(database: sqlite3.Connection, name: str, value: object) -> None:
    """Write a fact about the job, as JSON."""
    text = json.dumps(value)
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (name, text, checksum(name, text)))


def delete_rows(database: sqlite3.Connection) -> None:
    """Delete all rows: of a job of which nothing was paid."""
    for table in ("rows", "answers", "drafts", "submissions"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608  # names of this module
