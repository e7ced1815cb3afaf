"""What a command does with the journal of a job that had other settings, or of one that begins anew."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..._jobs.journal.aside import put_aside
from ..._jobs.journal.journal import OtherSettingsError, changed_text
from ..._jobs.journal.journal_error import JournalError
from ..._jobs.journal.reader import JournalReader
from ..._jobs.journal.settings import NEVER_FREE, Changes, JobSettings, changes, may_change
from ..console import say


def why_anew(journal: Path, settings: JobSettings, *, restart: bool) -> str | None:
    """Return why a new job takes the place of that of *journal*; None if that goes on, or there is none.

    It does with *restart*, and after a job that the emulator has answered.
    """
    if not journal.exists():
        return None
    if restart:
        return "begun anew"
    changed, finished = _changes(journal, settings)
    if finished and changed.get("emulate") == (True, False):
        return f"the emulator has answered {finished} rows; a new job begins"
    return None


def begin_anew(journal: Path, output: Path, why: str) -> None:
    """Put the journal and the output of the earlier job aside, and say so."""
    kept, results = put_aside(journal, output)
    say(f"{why}; the old journal is {kept}" + ("" if results is None else f", the old results {results}"))


def tell_changes(journal: Path, settings: JobSettings, *, keep_finished: bool) -> None:
    """Say what has changed since earlier runs, if it may; the journal refuses the rest."""
    changed, finished = _changes(journal, settings)
    dedupe = bool(settings.get("dedupe"))
    if changed and finished and may_change(changed, paid=True, keep_finished=keep_finished, dedupe=dedupe):
        say(f"this job had {finished} finished rows with {changed_text(changed)}")


def _changes(journal: Path, settings: JobSettings) -> tuple[Changes, int]:
    """Return which settings differ, and how many rows are finished."""
    if not journal.exists():
        return {}, 0
    try:
        with JournalReader(journal) as reader:
            return changes(reader.settings(), settings), sum(reader.counts().values())
    except (JournalError, sqlite3.Error):
        return {}, 0  # opening it for writing will report the error


def refusal_text(journal: Path, error: OtherSettingsError) -> str:
    """Return why the job is refused and the ways out, in the command's words."""
    ways = (
        "--restart begins anew and keeps the old journal beside the new one; or name another output with -o"
    )
    if not error.changed.keys() & NEVER_FREE:
        ways = (
            f"--keep-finished keeps the {error.finished} finished rows and sends the others with the new "
            f"settings; {ways}"
        )
    return f"the journal {str(journal)!r} is of a job with {changed_text(error.changed)}. {ways}"
