"""The files of rows that a job reads: one file, or all files of a folder as one input.

Rows of a folder have one count over all files, and are known by what they ask: ids are those of a file, and
files may be renamed, split or joined.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import NoReturn

from ...errors import ConfigurationError
from ..formats.file_format import Format, OutputFormat, format_of, is_known_name, why_not_read
from ..formats.row_count import count_rows
from ..formats.text import AS_FOUND, TextOptions
from ..prompt_template import MakeRequest
from ..rows import Row, open_rows
from .output_files import Output, OutputFile

_HIDDEN = (".", "_")
"""Names that begin with these are left out, as by Spark, Hive and pyarrow: markers, files being written."""

_MOST_NAMED = 3
"""Files that an error names."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of rows."""

    path: Path
    form: Format
    name: str | None = None
    """Its name within the folder, with slashes; None: it is the only one."""

    @property
    def is_table(self) -> bool:
        """Whether all its rows have the same columns."""
        return self.form is not Format.JSONL

    @property
    def is_all_text(self) -> bool:
        """Whether all its rows have the same columns, and only texts in them."""
        return self.form is Format.CSV


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The file of a job, or the files of its folder, and how their rows are read."""

    files: tuple[InputFile, ...]
    make: MakeRequest
    text: TextOptions = AS_FOUND

    @contextmanager
    def open(self, limit: int | None = None) -> Iterator[Iterator[Row]]:
        """Open all rows, or the first *limit* of them; of a folder one file after the other."""
        (first, *others) = self.files
        if first.name is None:
            with self.open_file(first, 0, limit) as rows:
                yield rows
            return
        with closing(self._rows([first, *others], limit)) as rows:
            yield rows

    def _rows(self, files: list[InputFile], limit: int | None) -> Generator[Row, None, None]:
        count = 0
        for file in files:
            if limit is not None and count >= limit:
                return
            with self.open_file(file, count, None if limit is None else limit - count) as rows:
                for row in rows:
                    count = row.index + 1
                    yield row

    @contextmanager
    def open_file(self, file: InputFile, first: int = 0, limit: int | None = None) -> Iterator[Iterator[Row]]:
        """Open the rows of one file, numbered from *first* on."""
        with open_rows(file.path, self.make, limit, file.form, self.text) as rows:
            yield rows if file.name is None else _placed(rows, file.name, first)

    def opener(self, file: InputFile) -> Callable[[int], AbstractContextManager[Iterator[Row]]]:
        """Return what opens one file, its rows numbered from an index on."""
        return lambda first: self.open_file(file, first)

    def count(self, stop: threading.Event, tell: Callable[[int], None] = lambda _: None) -> int | None:
        """Count the rows without parsing them, as `count_rows`; None if *stop* is set before the end."""
        whole = 0
        for file in self.files:
            told = partial(_tell_sum, tell, whole)
            counted = count_rows(file.path, file.form, stop, told, self.text)
            if counted is None or stop.is_set():
                return None
            whole += counted
        return whole

    def outputs(self, folder: Path, form: OutputFormat | None) -> dict[str, OutputFile]:
        """Return the files of results in *folder* that mirror those of the input; none for a single file.

        Each has the name and the format of its input; *form* can only ask for lines of OpenAI's Batch API in
        place of JSON lines. Raises ConfigurationError for any other.
        """
        return {
            file.name: OutputFile(
                folder / file.name, self.opener(file), file.is_all_text, _output_format(file, form)
            )
            for file in self.files
            if file.name is not None
        }


def _tell_sum(tell: Callable[[int], None], before: int, rows: int) -> None:
    tell(before + rows)


def _placed(rows: Iterator[Row], name: str, first: int) -> Iterator[Row]:
    """Give rows of a file, which nobody else holds yet, their place in the folder."""
    for row in rows:
        row.index += first
        if not row.has_id:
            row.id = str(row.index)
        row.file, row.has_id, row.unit = name, False, f"{name}, {row.unit}"
        if row.problem is not None:
            row.problem = f"{name}, {row.problem}"
        yield row


def _output_format(file: InputFile, form: OutputFormat | None) -> OutputFormat:
    own = OutputFormat(file.form.value)
    if form is OutputFormat.OPENAI_BATCH and own is OutputFormat.JSONL:
        return form
    if form not in {None, own}:
        raise ConfigurationError(
            f"output_format={str(form)!r}: results of a folder have the formats of its files, and "
            f"{file.name!r} is {own}; leave it out"
        )
    return own


def files_in(folder: Path, form: Format | None = None, pattern: str | None = None) -> tuple[InputFile, ...]:
    """Return the files of rows in *folder* and in folders inside it, in the order of their names.

    Names that begin with a dot or an underscore are left out, and with a *pattern*, such as `*.csv` or
    `2026/*`, those that do not match it. *form* is the format of all of them; None: as their names say.
    Links to folders are not followed. Raises ConfigurationError if there are none, or others among them.
    """
    where = f"input={str(folder)!r}"
    names = [name for name in _names_in(folder) if pattern is None or _matches(name, pattern)]
    if not names:
        matching = "" if pattern is None else f" that match {pattern!r}"
        raise ConfigurationError(f"{where} holds no files{matching}, hidden ones left out")
    others = [name for name in names if form is None and not is_known_name(Path(name))]
    if others:
        _refuse(where, others)
    for name in names:
        if not (folder / name).is_file():
            raise ConfigurationError(
                f"{where} holds {name!r}, which is not a plain file; move it, or choose "
                "the others with --files"
            )
    return tuple(InputFile(folder / name, form or format_of(Path(name)), name) for name in names)


def _names_in(folder: Path) -> list[str]:
    """Return the names of all files that are not hidden; raises OSError for a folder that cannot be read."""
    names: list[str] = []
    for root, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        inside = Path(root).relative_to(folder)
        names += [(inside / name).as_posix() for name in files if not name.startswith(_HIDDEN)]
    return sorted(names, key=lambda name: name.split("/"))


def _raise(error: OSError) -> NoReturn:
    raise error


def _matches(name: str, pattern: str) -> bool:
    """Return whether a pattern fits: the whole name if it has a slash, else its last part."""
    return fnmatchcase(name if "/" in pattern else name.rpartition("/")[2], pattern)


def _refuse(where: str, others: list[str]) -> NoReturn:
    """Refuse files of no format for rows: taken for JSON lines, each of their lines would be a failed row."""
    named = ", ".join(map(repr, others[:_MOST_NAMED]))
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    why = why_not_read(Path(others[0]))
    is_what = f"; {others[0]!r} is {why}" if why is not None else ""
    raise ConfigurationError(
        f"{where} holds files whose names say no format of rows: {named}{more}{is_what}; choose the others "
        "with --files, such as --files '*.csv', or say what all are with --input-format"
    )


def links_in(folder: Path) -> list[str]:
    """Return the names of links to folders, which `files_in` does not follow."""
    found: list[str] = []
    for root, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        links = [Path(root) / name for name in folders if (Path(root) / name).is_symlink()]
        found += [link.relative_to(folder).as_posix() for link in links]
    return sorted(found)


def check_folders(folder: Path, output: Output, journal: Path) -> None:
    """Raise ConfigurationError for an output or a journal that a later run would take for input."""
    inside = folder.resolve()
    # Results may lie in the input although their folder does not: it has a link, or is one around the input.
    outputs = [output.path, *(path for path, _ in output.targets)]
    for name, path in [*(("output", path) for path in outputs), ("journal", journal)]:
        if path.resolve().is_relative_to(inside):
            raise ConfigurationError(
                f"{name}={str(path)!r} lies in the input {str(folder)!r}, whose files the next run would "
                "read; name a place outside"
            )
    if journal.resolve().is_relative_to(output.path.resolve()):
        raise ConfigurationError(
            f"journal={str(journal)!r} lies among the results in {str(output.path)!r}; name a place outside"
        )
    if output.path.exists() and not output.path.is_dir():
        raise ConfigurationError(
            f"output={str(output.path)!r} is a file, and the input a folder; name a folder for the results"
        )
