"""What a job would send and cost, without sending anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path

from .._core.encode import encode
from .._core.estimate import BYTES_PER_TOKEN, foretell
from .._core.money import credits_of
from .._core.prices import first_guess
from ..errors import InvalidRequestError
from .identity import digest_of
from .journal import Journal
from .rows import Row
from .runner import AT_ONCE


@dataclass(slots=True)
class Forecast:
    """What a job comes to before it is paid for. Tokens and credits are estimates; rows are counted."""

    rows: int = 0
    unusable: int = 0
    first_problem: str | None = None
    duplicates: int = 0
    """Rows that ask the same as an earlier one."""
    input_tokens: int = 0
    """By length, four bytes to a token; images are not counted."""
    by_mean: Decimal = Decimal(0)
    """Credits if calls cost what the model's calls cost on average, as Segmind publishes it."""
    for_input: Decimal = Decimal(0)
    """Credits for what is sent alone, at list price: it will not be less."""


def forecast(open_rows: AbstractContextManager[Iterator[Row]], model: str) -> Forecast:
    """Read all rows and add up what they would ask. Takes no more memory for more rows."""
    result, for_input = Forecast(), 0.0
    with tempfile.TemporaryDirectory() as folder, _counting(folder) as seen, open_rows as rows:
        while batch := list(islice(rows, AT_ONCE)):
            asked = [(row, body) for row in batch if (body := _body(row, model, result)) is not None]
            names = [digest_of(row.request).hex() for row, _ in asked if row.request]
            result.duplicates += sum(count > 1 for count in seen.occurrences(names).result())
            result.input_tokens += sum(len(body) // BYTES_PER_TOKEN for _, body in asked)
            for_input += sum(foretell(model, body, {}) or 0.0 for _, body in asked)
    result.by_mean = credits_of((result.rows - result.unusable) * first_guess(model))
    result.for_input = credits_of(round(for_input))
    return result


def _counting(folder: str) -> Journal:
    """Count on the disk: a set of all that was asked would grow with the job."""
    return Journal(Path(folder) / "seen", {})


def _body(row: Row, model: str, result: Forecast) -> bytes | None:
    """Encode a row as it would be sent; note what is in the way."""
    result.rows += 1
    problem = row.problem
    if row.request is not None:
        try:
            return encode(row.request.model or model, row.request.messages, row.request.parameters)
        except InvalidRequestError as error:
            problem = f"line {row.line}: {error}"
    result.unusable += 1
    result.first_problem = result.first_problem or problem
    return None
