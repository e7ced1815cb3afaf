"""Tables of a journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

APPLICATION = 0x5E6D1D
"""Marks the file as ours (`PRAGMA application_id`)."""

VERSION = 5

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL, digest BLOB NOT NULL, status TEXT NOT NULL, error_type TEXT, message TEXT,
    units INTEGER, seconds REAL, label TEXT, truth TEXT,
    attempts INTEGER NOT NULL, in_doubt INTEGER NOT NULL, at REAL NOT NULL,
    row_index INTEGER, parsed TEXT, excerpt TEXT, source BLOB,
    replaced INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE answers (number INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE submissions (
    request TEXT PRIMARY KEY, digest BLOB NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE drafts (key TEXT NOT NULL, digest BLOB NOT NULL, units INTEGER, raw BLOB NOT NULL);
CREATE TABLE samples (number INTEGER PRIMARY KEY, at REAL NOT NULL, facts TEXT NOT NULL);
"""


def create(database: sqlite3.Connection, settings: Mapping[str, object]) -> None:
    """Make a journal's tables, in one transaction."""
    # One transaction: a crash in the middle leaves an empty file, which is opened as a new journal.
    database.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _TABLES.split(";")):
        database.execute(statement)
    write_settings(database, settings)
    database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.commit()


def read_settings(database: sqlite3.Connection) -> dict[str, object]:
    """Return the settings of the job."""
    found = database.execute("SELECT name, value FROM meta WHERE name LIKE 'setting %'").fetchall()
    return {name.removeprefix("setting "): json.loads(value) for name, value in found}


def write_settings(database: sqlite3.Connection, settings: Mapping[str, object]) -> None:
    """Replace the settings of the job."""
    database.execute("DELETE FROM meta WHERE name LIKE 'setting %'")
    for name, value in settings.items():
        database.execute("INSERT INTO meta VALUES (?, ?)", (f"setting {name}", json.dumps(value)))


def delete_rows(database: sqlite3.Connection) -> None:
    """Delete all rows: of a job of which nothing was paid."""
    for table in ("rows", "answers", "drafts", "submissions"):
        database.execute(f"DELETE FROM {table}")  # noqa: S608  # names of this module
