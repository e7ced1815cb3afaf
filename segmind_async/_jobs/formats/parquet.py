"""Parquet, read and written a batch at a time; needs the extra `parquet`.

Nothing here is a bad row of its own making: a value that Python cannot hold spoils its row, a page that
cannot be read the rows of its group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_EVEN, Context, Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from pydantic_core import to_json

from ...errors import ConfigurationError
from .kinds import Columns, Kind, checked_names
from .lines import Found

_AT_ONCE = 64
"""Rows that are read together. A row may be as large as the longest prompt."""

_GROUP_ROWS = 10_000
_GROUP_BYTES = 16 * 1024 * 1024
"""What is gathered for a row group: whichever comes first, so that long answers take no more memory."""

_PLACES = 18
"""Decimal places of amounts; the service names ten at most."""

_EXACT = Context(prec=38, rounding=ROUND_HALF_EVEN)


def arrow() -> ModuleType:
    """Import pyarrow; raises ConfigurationError, saying how to get it, where it is not installed."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise ConfigurationError("Parquet needs pyarrow: pip install 'segmind-async[parquet]'") from error


@contextmanager
def open_parquet(path: Path) -> Iterator[Found]:
    """Read rows with their number, from 1. Memory holds a batch of them, whatever the file.

    Raises ConfigurationError for a file that is no Parquet, or that names a column twice.
    """
    pa = arrow()
    try:
        # Without a buffer of its own it would hold the columns of a whole row group.
        file = pa.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own
        raise ConfigurationError(f"{str(path)!r} is no Parquet file: {error}") from error
    with file:
        checked_names(file.schema_arrow.names, repr(str(path)))
        yield _rows(pa, file)


def _rows(pa: ModuleType, file: Any) -> Found:
    number = 0
    for group in range(file.num_row_groups):
        end = number + file.metadata.row_group(group).num_rows
        problem = "the row group ends too early"
        try:
            for columns in _group(pa, file, group):
                number += 1
                yield number, columns
        except (OSError, pa.ArrowException) as error:
            problem = f"its part of the file cannot be read: {error}"
        while number < end:
            number += 1
            yield number, problem


def _group(pa: ModuleType, file: Any, group: int) -> Iterator[dict[str, object] | str]:
    for batch in file.iter_batches(_AT_ONCE, row_groups=[group]):
        yield from _dictionaries(pa, batch)


def _dictionaries(pa: ModuleType, batch: Any) -> list[dict[str, object] | str]:
    batch = _with_microseconds(pa, batch)
    try:
        found = batch.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        found = [_dictionary(pa, batch.slice(place, 1)) for place in range(batch.num_rows)]
    return [row if isinstance(row, str) else _with_text(row) for row in found]


def _dictionary(pa: ModuleType, batch: Any) -> dict[str, object] | str:
    try:
        (row,) = batch.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return f"a value that cannot be read: {error}"
    return dict(row)


def _with_microseconds(pa: ModuleType, batch: Any) -> Any:
    """Drop the nanoseconds, which Python's own types of time do not have."""
    for place, field in enumerate(batch.schema):
        kind = field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            kind = pa.timestamp("us", kind.tz)
        elif pa.types.is_time64(kind) and kind.unit == "ns":
            kind = pa.time64("us")
        elif pa.types.is_duration(kind) and kind.unit == "ns":
            kind = pa.duration("us")
        else:
            continue
        batch = batch.set_column(place, field.with_type(kind), batch.column(place).cast(kind, safe=False))
    return batch


def _with_text(row: dict[str, object]) -> dict[str, object]:
    """Take bytes for the text they are: not every writer says that its strings are strings."""
    for name, value in row.items():
        if isinstance(value, bytes):
            # What stays bytes is an image, say: whoever wants a text there refuses it.
            with suppress(UnicodeDecodeError):
                row[name] = value.decode()
    return row


@contextmanager
def parquet_writer(file: IO[bytes], columns: Columns) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Write rows of *columns* to *file*: the same schema whatever the rows hold.

    Amounts are decimals, named parts a struct, everything of another shape in each row its JSON text.
    """
    pa = arrow()
    schema = pa.schema([(name, _type(pa, kind)) for name, kind in columns.items()])
    gathered: list[dict[str, object]] = []
    size = 0
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def put(row: Mapping[str, object]) -> None:
            nonlocal size
            gathered.append({name: _value(kind, row.get(name)) for name, kind in columns.items()})
            size += sum(len(value) for value in gathered[-1].values() if isinstance(value, str))
            if len(gathered) >= _GROUP_ROWS or size >= _GROUP_BYTES:
                write()

        def write() -> None:
            nonlocal size
            writer.write_batch(pa.RecordBatch.from_pylist(gathered, schema))
            gathered.clear()
            size = 0

        yield put
        if gathered:
            write()


def _type(pa: ModuleType, kind: Kind | Mapping[str, Kind]) -> Any:
    if not isinstance(kind, Kind):
        return pa.struct([(name, _type(pa, part)) for name, part in kind.items()])
    return {
        Kind.TEXT: pa.string(),
        Kind.COUNT: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.AMOUNT: pa.decimal128(38, _PLACES),
        Kind.FLAG: pa.bool_(),
        Kind.JSON: pa.string(),
    }[kind]


def _value(kind: Kind | Mapping[str, Kind], value: object) -> object:
    if value is None or not isinstance(kind, Kind):
        return value
    if kind is Kind.AMOUNT:
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-_PLACES), context=_EXACT)
    if kind is Kind.JSON:
        return to_json(value).decode()
    return str(value) if kind is Kind.TEXT else value
