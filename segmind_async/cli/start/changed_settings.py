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


def begin_anew(
    journal: Path, output: Path, settings: JobSettings, *, restart: bool, keep_finished: bool
) -> None:
    """Put the journal and the output of an earlier job aside, if a new one begins; and say so.

    It does with *restart*, and after a job that the emulator has answered. Of a job that goes on, say what
    has changed; the journal refuses one that may not.
    """
    if not journal.exists():
        return
    if restart:
        say(f"begun anew; the old journal is {put_aside(journal, output)}")
        return
    changed, finished = _changes(journal, settings)
    if not changed or not finished:
        return
    if changed.get("emulate") == (True, False):
        kept = put_aside(journal, output)
        say(f"the emulator has answered {finished} rows; a new job begins, and their journal is {kept}")
    elif may_change(changed, paid=True, keep_finished=keep_finished, dedupe=bool(settings.get("dedupe"))):
        say(f"this job had {finished} finished rows with {changed_text(changed)}")


def _changes(journal: Path, settings: JobSettings) -> tuple[Changes, int]:
    """Return which settings differ, and how many rows are finished."""
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
