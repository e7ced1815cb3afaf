"""Parquet, read and written a batch at a time; needs the extra `parquet`.

A value that Python cannot hold makes its row invalid; a page that cannot be read, all rows of its group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import ROUND_HALF_EVEN, Context, Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from ...errors import ConfigurationError
from .columns import Columns, ColumnType, as_json, checked_names
from .text import AS_FOUND, Found, TextOptions

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
def open_parquet(path: Path, _: TextOptions = AS_FOUND) -> Iterator[Found]:
    """Read rows with their number, from 1. Memory holds a batch of them, whatever the file.

    Raises ConfigurationError for a file that is not Parquet, or that names a column twice.
    """
    pa = arrow()
    try:
        # Without a buffer of its own it would hold the columns of a whole row group.
        file = pa.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own
        raise ConfigurationError(f"{str(path)!r} is not a Parquet file: {error}") from error
    with file:
        checked_names(file.schema_arrow.names, repr(str(path)))
        yield _rows(pa, file)


def parquet_rows(path: Path) -> int:
    """Return the number of rows, as the file's metadata gives it."""
    rows: int = arrow().parquet.read_metadata(path).num_rows
    return rows


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
        type_ = field.type
        if pa.types.is_timestamp(type_) and type_.unit == "ns":
            type_ = pa.timestamp("us", type_.tz)
        elif pa.types.is_time64(type_) and type_.unit == "ns":
            type_ = pa.time64("us")
        elif pa.types.is_duration(type_) and type_.unit == "ns":
            type_ = pa.duration("us")
        else:
            continue
        batch = batch.set_column(place, field.with_type(type_), batch.column(place).cast(type_, safe=False))
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
    schema = pa.schema([(name, _type(pa, column_type)) for name, column_type in columns.items()])
    gathered: list[dict[str, object]] = []
    size = 0
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def put(row: Mapping[str, object]) -> None:
            nonlocal size
            gathered.append(
                {name: _value(column_type, row.get(name)) for name, column_type in columns.items()}
            )
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


def _type(pa: ModuleType, column_type: ColumnType | Mapping[str, ColumnType]) -> Any:
    if not isinstance(column_type, ColumnType):
        return pa.struct([(name, _type(pa, part)) for name, part in column_type.items()])
    return {
        ColumnType.TEXT: pa.string(),
        ColumnType.COUNT: pa.int64(),
        ColumnType.NUMBER: pa.float64(),
        ColumnType.AMOUNT: pa.decimal128(38, _PLACES),
        ColumnType.FLAG: pa.bool_(),
        ColumnType.ANY: pa.string(),
        ColumnType.JSON: pa.string(),
    }[column_type]


def _value(column_type: ColumnType | Mapping[str, ColumnType], value: object) -> object:
    if value is None or not isinstance(column_type, ColumnType):
        return value
    if column_type is ColumnType.AMOUNT:
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-_PLACES), context=_EXACT)
    if column_type is ColumnType.JSON or (column_type is ColumnType.ANY and not isinstance(value, str)):
        return as_json(value).decode()
    if column_type is ColumnType.NUMBER and isinstance(value, int):
        return float(value)  # the nearest one: Arrow refuses integers that no double has exactly
    return str(value) if column_type is ColumnType.TEXT else value
