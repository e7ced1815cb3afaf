"""Rows of the input with what the journal holds of them. `run` decides which of them are skipped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._text.error_text import message_of
from ..models import ChatRequest
from .journal.finished import Asked, FinishedRows
from .journal.record import Record
from .row_keys import digest_of, name_of, source_of
from .rows import Row, closing_rows


@dataclass(slots=True)
class KnownRow:
    """A row with its key and its record. Immutable by convention: `frozen` makes it slower to create."""

    row: Row
    key: str
    digest: bytes
    record: Record | None
    """Its record, if there is one of the same request."""
    replaces: int | None
    """Number of the record that a new one replaces, or its own if that `returns`."""
    returns: bool = False
    """Whether its record was replaced since: the row is again what it was."""
    repeated: bool = False
    """Whether an earlier row has the same request, whose answer it shares."""


async def matched(
    finished: FinishedRows, batches: AsyncIterator[list[Row]], *, dedupe: bool = False, answers: bool = False
) -> AsyncGenerator[list[KnownRow], None]:
    """Yield all rows of the input, read from its beginning, with their records and, if *answers*, answers.

    Of long answers few are in memory at once, whatever the number of rows that are looked up together.
    """
    await finished.begin_pass()
    async with closing_rows(batches):
        async for batch in batches:
            known = await _looked_up(finished, batch, dedupe=dedupe)
            if not answers:
                yield known
                continue
            while known:
                part, known = await _read(finished, known)
                yield part


async def _looked_up(finished: FinishedRows, batch: Sequence[Row], *, dedupe: bool) -> list[KnownRow]:
    rows = [keyed(row) for row in batch]
    asked = [Asked(name_of(row, digest, dedupe=dedupe), digest) for row, digest in rows]
    found = await finished.look_up(asked, shared=dedupe)
    sources = [source_of(row) for row, _ in rows] if finished.kept else []
    kept = await finished.look_up_kept(sources) if sources and not dedupe else []
    known = []
    for place, ((row, digest), one) in enumerate(zip(rows, found, strict=True)):
        record = one.record
        if record is None and sources:
            # Columns hold the id; messages alone would be those of a row with another one.
            by_source = kept[place] if kept and (row.columns or not row.has_id) else None
            record = _kept(one.other, sources[place], finished.kept) or by_source
        replaces = one.other if record is None or one.returns else record
        repeated = dedupe and one.occurrence > 1 and row.request is not None
        number = None if replaces is None else replaces.number
        known.append(KnownRow(row, one.key, digest, record, number, one.returns, repeated))
    return known


async def _read(finished: FinishedRows, known: list[KnownRow]) -> tuple[list[KnownRow], list[KnownRow]]:
    """Read the answers of the first rows; return these, and the others."""
    numbers = [one.record.number for one in known if one.record is not None and one.record.number is not None]
    read = await finished.read(numbers)
    for place, one in enumerate(known):
        if one.record is None or one.record.number is None:
            continue
        if one.record.number not in read:
            return known[:place], known[place:]
        one.record = read[one.record.number]
    return known, []


def _kept(record: Record | None, source: bytes, kept: int) -> Record | None:
    """Return *record* if it stays although the settings have changed, and is of the same row of the input."""
    if record is None or record.number is None or record.number > kept:
        return None
    return record if record.source == source else None


def keyed(row: Row) -> tuple[Row, bytes]:
    """Return a row with the digest of its request; a row whose request has none is invalid."""
    try:
        row.id.encode()
        return row, digest_of(row.request) if row.request else b""
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        invalid = replace(row, request=None, problem=f"{row.unit} {row.line}: {message_of(error)}")
        if isinstance(error, UnicodeEncodeError):
            invalid = replace(invalid, id=str(row.index), has_id=False)
        return invalid, b""


def excerpt_of(request: ChatRequest, length: int = 200) -> str:
    """Return the beginning of the last message of *request*, at most *length* characters."""
    return " ".join(_last_text(request)[: 2 * length].split())[:length]


def _last_text(request: ChatRequest) -> str:
    messages: object = request.messages
    if isinstance(messages, str):
        return messages
    # Of any type: requests that cannot be sent have excerpts too.
    last = messages[-1] if isinstance(messages, Sequence) and messages else None
    content = last.get("content") if isinstance(last, Mapping) else None
    parts: Iterable[object] = content if isinstance(content, list | tuple) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return " ".join(text for text in texts if isinstance(text, str))
