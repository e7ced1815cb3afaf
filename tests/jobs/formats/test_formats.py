"""Tables as they are found in the wild: what is read of them, and what it costs to read very many rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import segmind_async as sa
from segmind_async._jobs.formats import text as lines
from segmind_async._jobs.formats.file_format import Format, format_of
from segmind_async._jobs.formats.row_count import count_rows
from segmind_async._jobs.formats.text import TextOptions
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import template
from segmind_async._jobs.rows import Row, open_rows


def read(path: Path, content: bytes, prompt: str = "{text}", **options: Any) -> list[Row]:
    path.write_bytes(content)
    with open_rows(path, template(prompt), **options) as found:
        return list(found)


def asked(rows: list[Row]) -> list[object]:
    return [row.request.messages if row.request else row.problem for row in rows]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.CSV", Format.CSV),
        ("a.csv.gz", Format.CSV),
        ("a.parquet", Format.PARQUET),
        ("a.pq", Format.PARQUET),
        ("a", Format.JSONL),
        ("csv", Format.JSONL),
    ],
)
def test_a_name_says_the_form(name: str, form: Format) -> None:
    assert format_of(Path(name)) is form


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"\xef\xbb\xbftext\r\na\r\nb\r\n", ["a", "b"], id="byte-order-mark-and-crlf"),
        pytest.param("text\nnaïve\n".encode("utf-16"), ["naïve"], id="utf-16-as-spreadsheets-write-it"),
        pytest.param("text\nx\n".encode("utf-16-be"), ["x"], id="utf-16-without-a-mark"),
        pytest.param(
            "text\nsch\xf6n\n".encode("latin-1"),
            ["line 2: after 'sch' byte 0xf6 is not UTF-8; name the encoding, such as --encoding cp1252"],
            id="latin-1",
        ),
        pytest.param(b"text\na\0b\n", ["a\ufffdb"], id="nul"),
        pytest.param(b"text\ra\rb\r", ["a", "b"], id="old-line-ends"),
        pytest.param(b"\n\ntext\n\na\n\n", ["a"], id="blank-lines"),
        pytest.param(b"text", [], id="header-alone"),
        pytest.param(b"", [], id="empty"),
        pytest.param(b"text,,\na,,\n", ["a"], id="columns-without-a-name"),
        pytest.param(b"text\na,,\n", ["a"], id="empty-fields-too-many"),
        pytest.param(
            b"text,b\na\nb,c,d\n", ["a", "line 3: 1 fields more than the header names"], id="ragged"
        ),
        pytest.param(b"a,text\n1\n", ["line 2: no value in column 'text'"], id="too-short"),
        pytest.param(b'text\n"say ""hi"""\n', ['say "hi"'], id="quotes"),
        pytest.param(
            b'text\n"say "hi"\nfine\n',
            ["line 2: not CSV: ',' expected after '\"'", "fine"],
            id="quote-out-of-place",
        ),
        pytest.param(
            b'text\nfine\n"open\nb\n', ["fine", "line 3: not CSV: unexpected end of data"], id="quote-open"
        ),
    ],
)
def test_dirty_csv(tmp_path: Path, content: bytes, expected: Any) -> None:
    got = asked(read(tmp_path / "a.csv", content))
    assert got == expected


WIDE = {
    f"{name}{'-marked' if mark else ''}": (mark, name)
    for name, mark in [
        ("utf-8", b""), ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", b""), ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", b""), ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", b""), ("utf-32-be", codecs.BOM_UTF32_BE),
    ]
}  # fmt: skip
"""Byte order marks, or none, and encodings, by name."""

TEXTS = {
    "a.jsonl": '{"prompt": "é\u0a0a"}\r\n{"prompt": "b"}\n',
    "a.json": '[{"prompt": "é\u0a0a"},\n {"prompt": "b"}]\n',
    "a.csv": 'prompt\né\u0a0a\n"b"\n',
    "a.tsv": "prompt\tx\né\u0a0a\t1\nb\t2\n",
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoded", WIDE)
def test_unicode_texts_are_read_whatever_their_encoding(
    tmp_path: Path, encoded: str, name: str, packed: bool
) -> None:
    mark, encoding = WIDE[encoded]
    content = mark + TEXTS[name].encode(encoding)
    path = tmp_path / (name + ".gz" * packed)
    family = encoding[:6].rstrip("-")
    for named in (None, encoding, encoding.upper().replace("-", "_"), family if family != "utf-8" else None):
        options = TextOptions(named)
        got = read(path, gzip.compress(content) if packed else content, "{prompt}", text=options)
        assert [row.request and row.request.messages for row in got] == ["é\u0a0a", "b"], named
        assert count_rows(path, None, threading.Event(), text=options) == 2


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sa.ConfigurationError, match="two columns named 'text'; rename one"):
        read(tmp_path / "a.csv", b"text,b,text\n1,2,3\n")


@pytest.mark.parametrize(
    "content",
    [b'text,"b\nx\n', b'"a"b,c\n', gzip.compress(b"text\n", mtime=0)[:12]],
    ids=["open-quote", "text-after-a-quote", "cut-gzip"],
)
def test_a_header_that_cannot_be_read_is_an_error_at_once(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(sa.ConfigurationError, match=r"the header of .*a\.csv' cannot be read"):
        read(tmp_path / "a.csv", content)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_huge_line_is_one_bad_row_and_never_in_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 1000)
    limit = csv.field_size_limit()
    row = b"%s\n" if name == "a.csv" else b'{"text": "%s"}\n'
    content = row % (b"x" * 10_000) + row % b"fine" + row % (b"y" * 2000)
    try:
        got = asked(read(tmp_path / name, (b"text\n" if name == "a.csv" else b"") + content))
    finally:
        csv.field_size_limit(limit)
    first = 2 if name == "a.csv" else 1
    said = "longer than 1000 characters"
    assert got == [f"line {first}: {said}", "fine", f"line {first + 2}: {said}"]


def test_a_quote_that_stays_open_ends_the_reading_before_it_makes_rows_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 20)
    limit = csv.field_size_limit()
    content = b'text\nfine\nalso fine\nand this one\n"' + b"xxxxxxxxx\n" * 5 + b'"\nwho knows\n'
    try:
        got = asked(read(tmp_path / "a.csv", content))
    finally:
        csv.field_size_limit(limit)
    said = "line 5: a quote is open for 20 characters; where it ends cannot be told"
    assert got == ["fine", "also fine", "and this one", said]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "not said.jsonl"])
def test_a_packed_file_that_was_cut_gives_what_it_has_and_one_bad_row(tmp_path: Path, name: str) -> None:
    rows = b"".join(b"%d %s\n" % (n, n.to_bytes(40, "big").hex().encode()) for n in range(9, 5000))
    if "csv" not in name:
        rows = b"".join(b'{"text": "%s"}\n' % line for line in rows.splitlines())
    content = gzip.compress(b"text\n" * ("csv" in name) + rows)
    got = read(tmp_path / name, content[: len(content) // 2])
    assert len(got) > 100
    assert all(row.request for row in got[:-1])
    assert "the packed file is damaged from here on" in str(got[-1].problem)
    spoiled = bytearray(content)
    spoiled[len(content) // 2] ^= 0xFF
    assert "the packed file is damaged" in str(read(tmp_path / name, bytes(spoiled))[-1].problem)


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_of_all_kinds(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        {
            "id": [5, None, 7],
            "text": ["a", None, "ü"],
            "tags": [["x", "y"], [], None],
            "at": pa.array([1, 2**60 + 1, None], pa.timestamp("ns")),
            "took": pa.array([1001, None, 0], pa.duration("ns")),
            "time": pa.array([1001, None, 0], pa.time64("ns")),
            "price": [Decimal("1.50"), None, Decimal("2.25")],
            "raw": [b"plain", b"\xff\xd8", None],
            "kind": pa.array(["p", "q", "p"]).dictionary_encode(),
        },
    )
    with open_rows(path, template("{text} {tags} {price} {raw} {kind}")) as found:
        got = list(found)
    assert [(row.index, row.line, row.id, row.has_id) for row in got] == [
        (0, 1, "5", True), (1, 2, "1", False), (2, 3, "7", True),
    ]  # fmt: skip
    assert asked(got) == [
        'a ["x","y"] 1.50 plain p',
        "row 2: no value in column 'text'",
        "row 3: no value in column 'tags'",
    ]
    assert got[0].columns["at"] == datetime.fromisoformat("1970-01-01")
    assert got[0].columns["took"] == timedelta(microseconds=1)
    assert got[1].columns["at"] == datetime.fromisoformat("2006-07-14 23:58:24.606846")
    with open_rows(path, template("{raw}")) as found:
        assert asked(list(found))[1] == "row 2: column 'raw' holds 2 bytes that are not text"


def test_parquet_with_messages(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"messages": [[{"role": "user", "content": "hi"}], None]})
    with open_rows(path, own_request) as found:
        got = asked(list(found))
    assert got[0] == [sa.user("hi")]
    assert "row 2: neither 'prompt' nor 'messages'" in str(got[1])


def test_a_value_that_python_cannot_hold_spoils_its_row_alone(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")]
    )
    path = parquet(tmp_path / "a.parquet", {"text": broken})
    with open_rows(path, template("{text}")) as found:
        got = asked(list(found))
    assert (got[0], got[2]) == ("a", "c")
    assert str(got[1]).startswith("row 2: a value that cannot be read: 'utf-8' codec can't decode byte 0xff")


def test_a_part_of_a_parquet_file_that_cannot_be_read_spoils_its_rows_and_no_others(tmp_path: Path) -> None:
    texts = [f"{n} of many {n * n}" for n in range(300)]
    path = parquet(
        tmp_path / "a.parquet", {"text": texts}, row_group_size=100, compression="zstd", use_dictionary=False
    )
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    with open_rows(path, template("{text}")) as found:
        got = list(found)
    assert [row.line for row in got] == list(range(1, 301))
    assert asked(got[:100] + got[200:]) == texts[:100] + texts[200:]
    assert all("its part of the file cannot be read" in str(row.problem) for row in got[100:200])


def test_what_is_no_parquet_or_has_two_columns_of_a_name_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"text\n", b"PAR1" + bytes(40) + b"PAR1"):
        with pytest.raises(sa.ConfigurationError, match=r"a\.parquet' is not a Parquet file"):
            read(tmp_path / "a.parquet", content)
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"]), tmp_path / "b.parquet")
    with pytest.raises(sa.ConfigurationError, match="two columns named 'x'"):
        read(tmp_path / "b.parquet", (tmp_path / "b.parquet").read_bytes())


def test_a_form_may_be_said_where_the_name_does_not(tmp_path: Path) -> None:
    assert asked(read(tmp_path / "a", b"text\nx\n", form=Format.CSV)) == ["x"]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["y"]}), buffer)
    assert asked(read(tmp_path / "b.csv", buffer.getvalue(), form=Format.PARQUET, limit=5)) == ["y"]


def many(path: Path) -> Iterator[Row]:
    with open_rows(path, template("{text}")) as found:
        yield from found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / name, "word " * 40
    with gzip.open(path, "wt") if name.endswith("gz") else path.open("w") as file:
        file.write("id,text\n" if name == "a.csv" else "")
        for n in range(30_000):
            file.write(f"{n},{text}\n" if name == "a.csv" else f'{{"id": {n}, "text": "{text}"}}\n')
    rows = many(path)
    for _ in range(100):
        next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 29_900
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from segmind_async._jobs.own_request import own_request\nfrom segmind_async._jobs.rows import open_rows\n"
        f"with open_rows(Path({str(tmp_path / 'a.parquet')!r}), own_request): pass"
    )
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ConfigurationError: Parquet needs pyarrow: pip install 'segmind-async[parquet]'" in got.stderr


def test_an_array_that_is_not_of_its_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"prompt":"a\xff"}]')
    with pytest.raises(sa.ConfigurationError, match="bytes that are not of its encoding"):
        with open_rows(tmp_path / "a.json") as rows:
            list(rows)
