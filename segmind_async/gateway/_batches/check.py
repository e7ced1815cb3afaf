"""Whether a file is one of a batch: each line is looked at before the first is sent. Pure.

Only what makes a line no request of this batch is a problem of the batch. A request with a bad field is a
row that fails with a 400, as it is at OpenAI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .batch import Problem

MOST_ROWS = 50_000
"""Rows of a batch, as OpenAI bounds them."""

_MOST_PROBLEMS = 100
"""Problems that are told of one file."""

_LONGEST_ID = 512
"""Characters of a `custom_id`."""


class LineCheck:
    """Looks at the lines of one file, in order."""

    def __init__(self, endpoint: str) -> None:
        self.rows: int = 0
        self.problems: list[Problem] = []
        self._endpoint = endpoint
        self._ids: set[str] = set()

    def all(self, found: Iterable[tuple[int, Mapping[str, object] | str]]) -> None:
        """Look at lines, as `open_jsonl` reads them, until there are too many problems or rows."""
        for number, line in found:
            self.rows += 1
            if self.rows > MOST_ROWS:
                self._add(number, "too_many_rows", f"a batch has at most {MOST_ROWS} rows")
                return
            if isinstance(line, str):
                self._add(number, "invalid_json_line", f"This line is not a JSON object: {line}")
            else:
                self._look_at(number, line)
            if len(self.problems) >= _MOST_PROBLEMS:
                return
        if not self.rows:
            self.problems.append(Problem("empty_file", "The file has no rows"))

    def _look_at(self, number: int, line: Mapping[str, object]) -> None:
        name = line.get("custom_id")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not _is_unicode(name):
            message = f"'custom_id' must be a string of 1 to {_LONGEST_ID} characters"
            self._add(number, "invalid_custom_id", message, "custom_id")
        elif name in self._ids:
            self._add(
                number,
                "duplicate_custom_id",
                f"The custom_id {name!r} is that of an earlier line",
                "custom_id",
            )
        else:
            self._ids.add(name)
        if line.get("method") != "POST":
            self._add(number, "invalid_method", "'method' must be 'POST'", "method")
        if line.get("url") != self._endpoint:
            message = f"'url' must be {self._endpoint!r}, the endpoint of the batch"
            self._add(number, "mismatched_endpoint", message, "url")
        body = line.get("body")
        if not isinstance(body, dict):
            self._add(number, "invalid_body", "'body' must be an object", "body")
        elif not isinstance(body.get("model"), str):
            self._add(number, "missing_required_parameter", "'body.model' must be a string", "body.model")

    def _add(self, line: int, code: str, message: str, param: str | None = None) -> None:
        self.problems.append(Problem(code, message, line, param))


def _is_unicode(text: str) -> bool:
    """Return whether a text can be written: JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
