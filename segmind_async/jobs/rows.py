"""Rows of a bulk file, read one at a time. A row that cannot be used is a value, not an end.

JSONL and CSV, in UTF-8. It knows nothing of how rows are sent.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import IO, TypeAlias

from pydantic_core import from_json

from ..errors import ConfigurationError
from ..messages import system
from ..models import ChatRequest, Message

MAX_LINE = 64 * 1024 * 1024
"""Characters of one line. 400 000 tokens are about 2 MB, an image up to 27 MB."""

Columns: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input."""

    index: int
    """From 0, blank lines not counted."""
    line: int
    """From 1, where it begins in the file."""
    id: str
    has_id: bool
    """Whether the row names its id; else it is its index."""
    columns: Columns
    request: ChatRequest | None
    """None if the row cannot be used."""
    problem: str | None = None
    """Why it cannot."""


MakeRequest: TypeAlias = Callable[[Columns], ChatRequest]
"""Makes a request of a row's columns; raises ValueError, saying what is missing."""


def own_request(columns: Columns) -> ChatRequest:
    """Take a row's own `messages`, or its `prompt`."""
    messages, prompt = columns.get("messages"), columns.get("prompt")
    if isinstance(messages, list):
        return ChatRequest(messages)
    if isinstance(prompt, str):
        return ChatRequest(prompt)
    raise ValueError(
        f"neither 'prompt' nor 'messages' among the columns {_names(columns)}; name columns with --prompt"
    )


def template(prompt: str) -> MakeRequest:
    """Fill `{column}`s of *prompt* from each row; raises ConfigurationError for a flawed template."""
    try:
        fields = [name for _, name, _, _ in Formatter().parse(prompt) if name is not None]
    except ValueError as error:
        raise ConfigurationError(
            f"prompt={prompt!r}: {error}; write {{{{ and }}}} for plain braces"
        ) from error
    for name in fields:
        if not name or not name.replace("_", "").replace("-", "").replace(" ", "").isalnum():
            raise ConfigurationError(f"prompt={prompt!r} names {name!r}, which is no plain column name")

    def fill(columns: Columns) -> ChatRequest:
        missing = [name for name in fields if columns.get(name) is None]
        if missing:
            raise ValueError(f"no column {missing[0]!r} among {_names(columns)}")
        return ChatRequest(prompt.format_map({name: columns[name] for name in fields}))

    return fill


def column(name: str) -> MakeRequest:
    """Send the text of one column as it is."""

    def take(columns: Columns) -> ChatRequest:
        text = columns.get(name)
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
                f"no text in column {name!r}, only {_names(columns)}"
            )
        return ChatRequest(text)

    return take


def under(instruction: str, make: MakeRequest) -> MakeRequest:
    """Put a system prompt before what *make* makes."""

    def prefixed(columns: Columns) -> ChatRequest:
        request = make(columns)
        messages = request.messages
        rest: list[Message] = (
            [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        )
        return ChatRequest.of([system(instruction), *rest], request.model, request.parameters)

    return prefixed


@contextmanager
def open_rows(path: Path, make: MakeRequest, limit: int | None = None) -> Iterator[Iterator[Row]]:
    """Open a file of rows: CSV by its name, else JSONL, also .gz. At most *limit* rows are read."""
    name = path.name.lower()
    opened = gzip.open if name.endswith(".gz") else open
    # A byte that is no UTF-8 becomes U+FFFD in its own row instead of ending the job.
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = _csv_rows(file) if name.removesuffix(".gz").endswith(".csv") else _jsonl_rows(file)
        yield _rows(lines, make, limit)


def _rows(lines: Iterator[tuple[int, Columns | str]], make: MakeRequest, limit: int | None) -> Iterator[Row]:
    for index, (line, columns) in enumerate(lines):
        if limit is not None and index >= limit:
            return
        if isinstance(columns, str):
            problem = f"line {line}: {columns}"
            yield Row(index, line, str(index), has_id=False, columns={}, request=None, problem=problem)
            continue
        given = columns.get("id")
        has_id = given is not None and given != ""
        name = str(given) if has_id else str(index)
        try:
            yield Row(index, line, name, has_id, columns, make(columns))
        except ValueError as error:
            yield Row(index, line, name, has_id, columns, None, f"line {line}: {error}")


def _jsonl_rows(file: IO[str]) -> Iterator[tuple[int, Columns | str]]:
    number = 0
    while text := file.readline(MAX_LINE):
        number += 1
        if not text.endswith("\n") and len(text) == MAX_LINE:
            _skip_line(file)
            yield number, f"longer than {MAX_LINE} characters"
        elif text.strip():
            yield number, _json_object(text)


def _skip_line(file: IO[str]) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith("\n"):
        pass


def _json_object(text: str) -> Columns | str:
    try:
        value = from_json(text)
    except ValueError as error:
        return f"no JSON: {error}"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, no object"


def _csv_rows(file: IO[str]) -> Iterator[tuple[int, Columns | str]]:
    csv.field_size_limit(MAX_LINE)
    reader = csv.DictReader(_without_nul(file))
    begins = 2
    while True:
        try:
            columns = next(reader, None)
        except csv.Error as error:
            yield begins, f"no CSV: {error}"
            begins = reader.line_num + 1
            continue
        if columns is None:
            return
        extra = columns.pop(None, None)  # where csv puts fields too many
        yield begins, f"{len(extra)} fields more than the header names" if extra else columns
        begins = reader.line_num + 1


def _without_nul(file: IO[str]) -> Iterator[str]:
    """Replace NULs, which the csv module of older Pythons refuses."""
    return (line.replace("\0", "\ufffd") for line in file)


def _names(columns: Columns) -> str:
    return ", ".join(repr(name) for name in columns) or "none"
