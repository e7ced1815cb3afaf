"""Estimates what a job will send and cost, without sending anything.

Uses published means until enough rows of the job, of a sample or an earlier run, are in the journal.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

from anyio import to_thread
from anyio.lowlevel import checkpoint

from .._media.parts import PartsNotLoadedError
from .._money.estimates import BYTES_PER_TOKEN, first_guess, predict_cost
from .._money.units import credits_of
from .._providers.catalogue import list_price, mean_seconds
from .._providers.prompt_size import bytes_of, has_other_parts, texts_in
from .._providers.requests import encode
from ..errors import InvalidRequestError
from ..models import ChatRequest
from .journal.finished import FinishedRows
from .journal.journal import Journal
from .journal.record import Record
from .known_rows import KnownRow, matched
from .options import JobOptions
from .row_keys import digest_of
from .rows import Row, batches_of

UPPER_BOUND_IN_MEANS = 8
"""Upper bound of a call without a bound on its answer, in mean costs, before any was seen: the 99th
percentile of a lognormal of σ 1.2, the widest spread of costs assumed."""

_ENOUGH = 10
"""Minimum answered rows to use in place of published means."""

_UPPER_CONFIDENCE = 0.98
"""Confidence of the interval whose upper end is the upper bound: 1 job in 100 exceeds it."""


class Interval(NamedTuple):
    """Bounds between which the true value lies, with some confidence."""

    low: float
    high: float


@dataclass(slots=True)
class Moments:
    """Count, mean and standard deviation of values, without the values."""

    count: int = 0
    total: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Add one value."""
        self.count += 1
        self.total += value
        self._squares += value * value

    def add_all(self, count: int, total: float, squares: float) -> None:
        """Add *count* values by their sum and the sum of their squares."""
        self.count += count
        self.total += total
        self._squares += squares

    @property
    def mean(self) -> float:
        """The mean; 0 if there are no values."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The sample standard deviation; 0 for fewer than two values."""
        if self.count < 2:
            return 0.0
        return math.sqrt(max(0.0, self._squares - self.count * self.mean**2) / (self.count - 1))


def mean_of_rest(values: Moments, rest: int, confidence: float = 0.95) -> Interval | None:
    """Return the prediction interval of the mean of *rest* further values, none of them negative.

    None if fewer than ten values were seen, or *rest* is 0. A normal approximation: of costs with a long
    upper tail (lognormal, σ 0.8) and 20 values it holds 88 of 100 means instead of 95.
    """
    if values.count < _ENOUGH or rest < 1:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = z * values.deviation * math.sqrt(1 / values.count + 1 / rest)
    return Interval(max(0.0, values.mean - half), values.mean + half)


def share(hits: int, count: int, confidence: float = 0.95) -> Interval | None:
    """Return the interval of a share of which *hits* of *count* were seen; None if *count* is 0.

    Above 0 also without a hit. Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    if not count:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (hits + z * z / 2) / (count + z * z)
    half = z / (count + z * z) * math.sqrt(hits * (count - hits) / count + z * z / 4)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))


@dataclass(frozen=True, slots=True)
class Terms:
    """Inputs of an estimate beside the rows."""

    model: str
    max_in_flight: int
    requests_per_minute: float | None
    """None: not known."""


@dataclass(slots=True)
class Forecast:
    """Estimated cost and duration of a job. Rows are counted, all else is estimated."""

    terms: Terms
    rows: int = 0
    invalid: int = 0
    first_problem: str | None = None
    duplicates: int = 0
    """Rows with the request of an earlier one."""
    garbled: int = 0
    """Rows to send with replacement characters (U+FFFD), of bytes that were not UTF-8."""
    done: int = 0
    """Rows finished in the journal."""
    failed: int = 0
    """Those of them that failed."""
    to_send: int = 0
    unbounded: int = 0
    """Rows to send whose answer nothing bounds, or whose price for a token is not published."""
    input_tokens: int = 0
    """Of the rows to send, by length, four bytes to a token; images are not counted."""
    costs: Moments = field(default_factory=Moments)
    """Of answered rows, in units."""
    seconds: Moments = field(default_factory=Moments)
    """Seconds that answered rows took."""
    _expected: int = 0
    _upper_bound: int = 0

    @property
    def is_measured(self) -> bool:
        """Whether the estimate uses costs of this job's own rows."""
        return self.costs.count >= _ENOUGH

    @property
    def spent(self) -> Decimal:
        """Credits that the rows which are done have cost."""
        return credits_of(round(self.costs.total))

    @property
    def expected(self) -> Decimal:
        """Credits that the rows to send are expected to cost."""
        return credits_of(round(self.costs.mean * self.to_send) if self.is_measured else self._expected)

    @property
    def expected_between(self) -> tuple[Decimal, Decimal] | None:
        """Interval of `expected` in credits, with 95 % confidence; None unless it is measured."""
        found = mean_of_rest(self.costs, self.to_send) if self.is_measured else None
        return None if found is None else (self._of_all(found.low), self._of_all(found.high))

    @property
    def upper_bound(self) -> Decimal:
        """Upper bound of the credits for the rows to send: see `upper_bound_basis`."""
        found = mean_of_rest(self.costs, self.to_send, _UPPER_CONFIDENCE) if self.is_measured else None
        return credits_of(self._upper_bound) if found is None else self._of_all(found.high)

    @property
    def upper_bound_basis(self) -> str:
        """Assumption behind `upper_bound`, for people to read."""
        if self.is_measured:
            return f"what {self.costs.count} answered rows cost, 1 job in 100 costs more"
        bounded = "every answer as long as it may be, at list price"
        if not self.unbounded:
            return bounded
        mean = f"{UPPER_BOUND_IN_MEANS} published means for each of {self.unbounded} rows without a bound"
        return mean if self.unbounded == self.to_send else f"{mean}; else {bounded}"

    @property
    def duration(self) -> float:
        """Seconds for the rows to send, if the service takes as many at once as the terms say."""
        known = self.seconds.count >= _ENOUGH
        return self._seconds_at(self.seconds.mean if known else mean_seconds(self.terms.model))

    @property
    def duration_between(self) -> tuple[float, float] | None:
        """Interval of `duration` in seconds, with 95 % confidence; None unless it is measured."""
        found = mean_of_rest(self.seconds, self.to_send) if self.seconds.count >= _ENOUGH else None
        return None if found is None else (self._seconds_at(found.low), self._seconds_at(found.high))

    @property
    def failing(self) -> Interval | None:
        """Share of rows that fail, with 95 % confidence; None unless some are done."""
        return share(self.failed, self.done)

    def as_json(self) -> dict[str, object]:
        """Return all figures by name."""
        between = self.expected_between
        return {
            "rows": self.rows,
            "invalid": self.invalid,
            "first_problem": self.first_problem,
            "duplicates": self.duplicates,
            "garbled": self.garbled,
            "done": self.done,
            "failed": self.failed,
            "spent": self.spent,
            "to_send": self.to_send,
            "input_tokens": self.input_tokens,
            "expected": self.expected,
            "expected_between": None if between is None else list(between),
            "upper_bound": self.upper_bound,
            "upper_bound_basis": self.upper_bound_basis,
            "seconds": self.duration,
            "seconds_between": None if self.duration_between is None else list(self.duration_between),
            "failing_between": None if self.failing is None else list(self.failing),
        }

    def add(self, known: KnownRow, *, again: bool, repeated: bool, dedupe: bool = False) -> None:
        """Add a row: *again* if it is sent although finished, *repeated* if an earlier one is equal.

        Blocks for a row with files, which are read: one that cannot be sent is an invalid row.
        """
        row, record = known.row, known.record
        self.rows += 1
        if row.request is None:
            self._add_invalid(row.problem)
            return
        self.duplicates += repeated
        if repeated and dedupe:
            return
        if record is not None and not again:
            self._add_done(record)
            return
        try:
            self._add_request(row.request)
        except InvalidRequestError as error:
            self._add_invalid(f"{row.unit} {row.line}: {error}")

    def _add_invalid(self, problem: str | None) -> None:
        self.invalid += 1
        self.first_problem = self.first_problem or problem

    def _add_done(self, record: Record) -> None:
        self.done += 1
        self.failed += record.error_type is not None
        if record.units is not None:
            self.costs.add(record.units)
        if record.seconds:
            self.seconds.add(record.seconds)

    def _add_request(self, request: ChatRequest) -> None:
        model = request.model or self.terms.model
        body = _encoded(model, request)
        mean = first_guess(model)
        least = predict_cost(model, body, {}) if list_price(model) is not None else None
        most = predict_cost(model, body, request.parameters)
        bounded = least is not None and most is not None and most > least
        worst = most if bounded and most is not None else UPPER_BOUND_IN_MEANS * mean + (least or 0.0)
        self.to_send += 1
        self.unbounded += not bounded
        self.garbled += _REPLACEMENT in body
        messages = request.messages
        length = bytes_of(texts_in(messages)) if has_other_parts(messages) else len(body)
        self.input_tokens += length // BYTES_PER_TOKEN
        self._upper_bound += round(worst)
        self._expected += round(min(max(mean, least or 0.0), worst))

    def _seconds_at(self, latency: float) -> float:
        concurrent = min(self.terms.max_in_flight, max(1, self.to_send))
        paced = self.to_send * 60 / self.terms.requests_per_minute if self.terms.requests_per_minute else 0.0
        return max(self.to_send * latency / concurrent, paced)

    def _of_all(self, mean: float) -> Decimal:
        return credits_of(math.ceil(mean * self.to_send))


async def _at_once(add: Callable[[], None]) -> None:
    add()


def _may_have_files(request: ChatRequest | None) -> bool:
    """Return whether a request, which may be invalid, may have files to read."""
    rows: Iterable[object] = () if request is None or isinstance(request.messages, str) else request.messages
    return any(isinstance(row, Mapping) and not isinstance(row.get("content"), str) for row in rows)


def _encoded(model: str, request: ChatRequest) -> bytes:
    """Return the body of a request; reads the files that its messages only refer to."""
    try:
        return encode(model, request.messages, request.parameters)
    except PartsNotLoadedError as error:
        # Held until they are encoded.
        held = [part.load() for part in error.parts]
        body = encode(model, request.messages, request.parameters)
        del held
        return body


_REPLACEMENT = "\ufffd".encode()


async def forecast(
    rows: Iterator[Row], terms: Terms, journal: Journal | None, options: JobOptions | None = None
) -> Forecast:
    """Read all rows and estimate what is still to be sent. Memory does not grow with the rows.

    Without a *journal* no row is finished.
    """
    result, options = Forecast(terms), options or JobOptions()
    with closing(_Digests()) as seen:
        async for batch in _known(rows, journal, options.dedupe):
            for known in batch:
                again = known.record is not None and options.sends_again(known.record.error_type)
                repeated = known.row.request is not None and seen.add(known.digest)
                add = partial(result.add, known, again=again, repeated=repeated, dedupe=options.dedupe)
                await (to_thread.run_sync if _may_have_files(known.row.request) else _at_once)(add)
    return result


async def _known(rows: Iterator[Row], journal: Journal | None, dedupe: bool) -> AsyncIterator[list[KnownRow]]:
    if journal is not None:
        with closing(await FinishedRows.open(journal.path, journal.kept)) as finished:
            async for batch in matched(finished, batches_of(rows), dedupe=dedupe):
                yield batch
        return
    async for read in batches_of(rows):
        # Reading takes minutes for millions of rows, in which a signal or a timer has its turn.
        await checkpoint()
        yield [KnownRow(row, "", digest_of(row.request) if row.request else b"", None, None) for row in read]


class _Digests:
    """Digests of the requests so far, on disk: in memory they would grow with the job."""

    def __init__(self) -> None:
        # Without a name it is a temporary file, deleted on close.
        self._database = sqlite3.connect("", isolation_level="DEFERRED")
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, digest: bytes) -> bool:
        """Add *digest*; return whether it was there before."""
        return not self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount

    def close(self) -> None:
        """Delete the file."""
        self._database.close()


def choose_rows(count: int, rows: int, seed: int = 0) -> list[int]:
    """Return *count* of *rows* indices: a random one of each of as many equal parts, in order.

    Files are often sorted, so a part that is left out may be the expensive one, and every n-th row may be
    alike. All rows if *count* is larger. The same *seed* chooses the same.
    """
    if count >= rows:
        return list(range(rows))
    chance = random.Random(seed)  # noqa: S311  # not for security
    edges = [part * rows // count for part in range(count + 1)]
    return [chance.randrange(begin, end) for begin, end in pairwise(edges)]


def rows_at(rows: Iterable[Row], indices: Iterable[int]) -> Iterator[Row]:
    """Yield the rows of these *indices*, which are in order, and read no further than the last one."""
    wanted = iter(indices)
    index = next(wanted, None)
    for row in rows:
        if index is None:
            return
        if row.index == index:
            yield row
            index = next(wanted, None)
            if index is None:
                return
