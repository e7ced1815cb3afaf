"""Rows of the input with what the journal holds of them. `run` decides which of them are skipped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._text.error_text import message_of
from ..models import ChatRequest
from .journal.finished import FinishedRows
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
    """Number of the record that a new one replaces."""
    repeated: bool = False
    """Whether an earlier row has the same request, whose answer it shares."""


async def matched(
    finished: FinishedRows, batches: AsyncIterator[list[Row]], *, dedupe: bool = False, answers: bool = False
) -> AsyncGenerator[list[KnownRow], None]:
    """Yield all rows of the input, read from its beginning, with their records and, if *answers*, answers."""
    await finished.begin_pass()
    async with closing_rows(batches):
        async for batch in batches:
            yield await _looked_up(finished, batch, dedupe=dedupe, answers=answers)


async def _looked_up(
    finished: FinishedRows, batch: Sequence[Row], *, dedupe: bool, answers: bool
) -> list[KnownRow]:
    rows = [keyed(row) for row in batch]
    names = [name_of(row, digest, dedupe=dedupe) for row, digest in rows]
    found = await finished.look_up(names, shared=dedupe, answers=answers)
    sources = [source_of(row) for row, _ in rows] if finished.kept else []
    kept = await finished.look_up_kept(sources) if sources and not dedupe else []
    known = []
    for place, ((row, digest), (key, record, occurrence)) in enumerate(zip(rows, found, strict=True)):
        same = record if record is not None and record.digest == digest else None
        if same is None and sources:
            by_source = kept[place] if kept and not row.has_id else None
            same = _kept(record, sources[place], finished.kept) or by_source
        replaces = same or record
        repeated = dedupe and occurrence > 1 and row.request is not None
        known.append(KnownRow(row, key, digest, same, replaces.number if replaces else None, repeated))
    return known


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
