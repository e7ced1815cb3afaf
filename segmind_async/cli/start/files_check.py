"""Refuses files that a job must not write, and makes the folders of those that it will: before it spends."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..._jobs.files.input_files import InputFiles, check_folders, links_in
from ..._jobs.files.output_files import OUTPUTS_FACT, Output
from ..._jobs.formats.file_format import Format
from ..._jobs.formats.output import check_output
from ..._jobs.journal.journal_error import JournalError
from ..._jobs.journal.reader import JournalReader
from ..._jobs.report.shards import journals_in
from ...errors import ConfigurationError
from ..console import say
from ..wording import count
from .input_check import ColumnsNeeded, check_encoding, check_rows


def check_inputs(inputs: InputFiles, needs: ColumnsNeeded, prefix: str | None) -> None:
    """Refuse an input that would waste what is paid for it, or has no rows: a folder in all its files."""
    has_rows = False
    for file in inputs.files:
        if file.form is not Format.PARQUET:
            check_encoding(file.path, inputs.text)
        with inputs.open_file(file) as rows:
            has_rows |= check_rows(file.path, rows, needs, prefix, uniform=file.is_table)
    if not has_rows:
        (first, *others) = inputs.files
        more = f", nor have the {len(others)} other files of the folder" if others else ""
        raise ConfigurationError(f"input={str(first.path)!r} has no rows{more}")


def check_paths(input_: Path, output: Output, journal: Path, *, overwrite: bool) -> None:
    """Refuse an output or journal that would overwrite the input, or an output that is not of this job."""
    for name, path in (("output", output.path), ("journal", journal)):
        if path.resolve() == input_.resolve():
            raise ConfigurationError(f"{name}={str(path)!r} is the input; name another one")
    if input_.is_dir():
        check_folders(input_, output, journal)
        if links := links_in(input_):
            say(f"links to folders are not followed: {', '.join(map(repr, links[:3]))}")
    for path, form in output.targets:
        check_output(path, form)
    there = [path for path, _ in output.targets if path.exists()]
    ours = frozenset() if overwrite or not there else _outputs_of(journal)
    others = [] if overwrite else [path for path in there if str(path.resolve()) not in ours]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ConfigurationError(
            f"output={str(others[0])!r} is there already{more}, and no journal of this job explains it; name "
            "another one with -o, or give --overwrite"
        )


def make_folders(output: Output, journal: Path) -> None:
    """Make the folders of the results and the journal, and say so of those that are not within results."""
    for folder in dict.fromkeys((output.path if output.files else output.path.parent, journal.parent)):
        if not folder.exists():
            folder.mkdir(parents=True)
            say(f"made the folder {folder}")
    for folder in {path.parent for path, _ in output.targets}:
        folder.mkdir(parents=True, exist_ok=True)


def tell_without_input(output: Output, journal: Path) -> None:
    """Say which files of results earlier runs have written for files that the input has no more."""
    now = {str(path.resolve()) for path, _ in output.targets}
    left = [path for path in sorted(_outputs_of(journal) - now) if Path(path).exists()]
    if left:
        say(f"{count(len(left))} files of results have no input any more and stay, such as {left[0]}")


def _outputs_of(journal: Path) -> frozenset[str]:
    """Return the files that the job of *journal*, or those of a folder, have written."""
    found: list[object] = []
    for path in journals_in(journal) if journal.is_dir() else [journal]:
        try:
            with JournalReader(path) as reader:
                outputs = reader.fact(OUTPUTS_FACT)
        except (JournalError, sqlite3.Error):
            continue
        found += outputs if isinstance(outputs, list) else []
    return frozenset(map(str, found))
