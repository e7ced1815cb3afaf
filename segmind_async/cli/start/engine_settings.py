"""The settings of a command on an engine, kept in its folder of journals.

The journals themselves have only the settings by which shards share answers. Rows there are known by what
they ask, so a changed prompt makes all of them new ones, which would be paid for and take the place of the
results of before.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ..._jobs.formats.output import sync, sync_folder
from ..._jobs.journal.journal import changed_text
from ..._jobs.journal.reader import JournalReader
from ..._jobs.journal.settings import JobSettings, changes
from ..._jobs.openers import private
from ..._jobs.report.shards import LeftOut, journals_in
from ...errors import ConfigurationError

NAME = "settings.json"


def keep_settings(journals: Path, settings: JobSettings) -> None:
    """Write the settings into the folder *journals*, which is made, atomically.

    Raises ConfigurationError if paid rows of earlier runs had others, and for a file that is damaged.
    """
    path = journals / NAME
    if path.exists():
        changed = changes(_read(path), settings)
        if not changed:
            return
        finished = _paid_rows(journals)
        if finished is not None:
            raise ConfigurationError(
                f"the journals in {str(journals)!r}, with {finished} finished rows, are of a job with "
                f"{changed_text(changed)}. Use the same again, or name another output with -o"
            )
    journals.mkdir(parents=True, exist_ok=True)
    _write(path, settings)


def _read(path: Path) -> JobSettings:
    found: object = None
    with suppress(ValueError):  # no JSON, or no text
        found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"the settings {str(path)!r} are damaged; delete them if the command is the same as before"
        )
    return found


def _write(path: Path, settings: JobSettings) -> None:
    part = path.with_name(path.name + ".part")
    with open(part, "wb", opener=private) as file:
        file.write(json.dumps(dict(settings), indent=1).encode())
        sync(file)
    part.replace(path)
    sync_folder(path.parent)


def _paid_rows(journals: Path) -> int | None:
    """Return the number of finished rows; None if nothing was paid, nor may have been."""
    finished, paid, left_out = 0, False, LeftOut()
    for path in journals_in(journals):
        with left_out.reading(), JournalReader(path) as reader:
            finished += sum(reader.counts().values())
            paid = paid or reader.may_be_paid()
    return finished if paid or left_out.errors else None
