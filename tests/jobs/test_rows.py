"""Rows of files as they are found in the wild."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.classify import Labels
from segmind_async._jobs.formats import text as lines
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.rows import BatchSize, Row, batches_of
from tests.jobs.mappings import open_mappings, read


def test_jsonl(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"id": "a", "prompt": "hi"}\n\n{"messages": [{"role": "user", "content": "x"}]}\r\n{"prompt": "no newline", "id": 7}'
    got = read(tmp_path / "a.jsonl", content)
    assert [(row.index, row.line, row.id) for row in got] == [(0, 1, "a"), (1, 3, "1"), (2, 4, "7")]
    assert got[0].request == sa.ChatRequest("hi")
    assert got[1].request == sa.ChatRequest([sa.user("x")])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "line 2: not JSON"),
        (b"[1]", "line 2: a JSON list, not an object"),
        (b"null", "line 2: a JSON NoneType, not an object"),
        (b"{}", "line 2: neither 'prompt' nor 'messages' among the columns none"),
        (
            b'{"prompt": null, "b": 1}',
            "among the columns 'prompt', 'b'; the command makes one of columns by --prompt",
        ),
        (b'{"prompt": 5, "b": 1}', "line 2: prompt=5 is of type int, not a text"),
        (b'{"messages": "hi"}', "line 2: messages='hi' is of type str, not a list"),
        (b"[" * 100_000, "line 2: not JSON"),
    ],
)
def test_a_row_that_cannot_be_used_is_one_row(tmp_path: Path, line: bytes, problem: str) -> None:
    got = read(tmp_path / "a.jsonl", b'{"prompt": "a"}\n' + line + b'\n{"prompt": "b"}\n')
    assert [row.request is None for row in got] == [False, True, False]
    assert problem in str(got[1].problem)


BOTH = {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}
BATCH = {"custom_id": "1", "body": {"messages": BOTH["messages"]}}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param(BOTH, "line 1: both prompt='a' and messages=[{", id="both"),
        pytest.param({**BOTH, "messages": "b"}, "both prompt='a' and messages='b'", id="both, one a text"),
        pytest.param({**BOTH, "prompt": 5}, "both prompt=5 and messages=[{", id="both, one a number"),
        pytest.param({**BATCH, "prompt": "a"}, "prompt='a' beside its 'body'", id="a prompt beside a body"),
        pytest.param({**BATCH, "temperature": 0}, "temperature=0 beside its 'body'", id="a parameter beside"),
        pytest.param({**BATCH, "model": "m"}, "model='m' beside its 'body'", id="a model beside a body"),
    ],
)
def test_no_field_of_a_request_is_ignored_for_another(
    tmp_path: Path, row: dict[str, object], problem: str
) -> None:
    (got,) = read(tmp_path / "a.jsonl", json.dumps(row).encode())
    assert got.request is None
    assert problem in str(got.problem)


@pytest.mark.parametrize("empty", [None, "", []])
def test_an_empty_cell_is_no_field(tmp_path: Path, empty: object) -> None:
    rows = [{**BOTH, "messages": empty}, {**BOTH, "prompt": empty}, {**BATCH, "prompt": empty}]
    got = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert [row.request and row.request.messages for row in got] == ["a", BOTH["messages"], BOTH["messages"]]


def test_a_byte_that_is_no_utf8_spoils_one_row(tmp_path: Path) -> None:
    got = read(tmp_path / "a.jsonl", b'{"prompt": "sch\xf6n"}\n{"prompt": "n\xef\xbf\xbdl"}\n')
    assert got[0].request is None
    assert "byte 0xf6 is not UTF-8" in str(got[0].problem)
    # A replacement character of the text's own.
    assert got[1].request == sa.ChatRequest("n\ufffdl")


def test_a_line_without_end_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 50)
    got = read(tmp_path / "a.jsonl", b'{"prompt": "' + b"x" * 500 + b'"}\n{"prompt": "b"}\n')
    assert (got[0].problem, got[1].request) == ("line 1: longer than 50 characters", sa.ChatRequest("b"))
    assert len(read(tmp_path / "a.jsonl", b"x" * 500)) == 1


def test_csv(tmp_path: Path) -> None:
    content = b'id,prompt\n1,"two\nlines"\n,second\n3,a,b\n4\n5,n\0l\n'
    got = read(tmp_path / "a.csv", content)
    assert [(row.line, row.id, row.problem) for row in got] == [
        (2, "1", None),
        (4, "1", None),
        (5, "2", "line 5: 1 fields more than the header names"),
        (
            6,
            "4",
            "line 6: neither 'prompt' nor 'messages' among the columns 'id', 'prompt'; the command makes one of columns by --prompt",
        ),
        (7, "5", None),
    ]
    assert got[0].request == sa.ChatRequest("two\nlines")
    assert got[4].request == sa.ChatRequest("n\ufffdl")


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl.gz", b'{"prompt": "x"}\n'), ("a.csv.gz", b"prompt\nx\n")]
)
def test_packed_files(tmp_path: Path, name: str, content: bytes) -> None:
    (row,) = read(tmp_path / name, gzip.compress(content))
    assert row.request == sa.ChatRequest("x")


def test_an_empty_file(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", b"") == []
    assert read(tmp_path / "a.csv", b"") == []


def test_a_limit(tmp_path: Path) -> None:
    assert len(read(tmp_path / "a.jsonl", b'{"prompt": "a"}\n' * 10, limit=3)) == 3


def test_rows_in_memory_are_numbered_and_those_that_no_request_can_hold_are_bad_rows() -> None:
    given: list[dict[str, object]] = [
        {"id": 7, "prompt": "a"},
        {"prompt": "half \ud83d"},
        {"id": "\ud83d", "prompt": "b"},
        {"messages": [{"role": "user", "content": b"\xff"}]},
        {"prompt": None},
        {"prompt": "late"},
    ]
    with open_mappings(given, own_request, 5) as found:
        got = list(found)
    assert [row.request is None for row in got] == [False, True, True, True, True]
    assert [row.id for row in got] == ["7", "1", "\\ud83d", "3", "4"]
    assert str(got[1].problem).startswith("row 2: 'utf-8' codec can't encode")
    assert str(got[3].problem).startswith("row 4: Error serializing to JSON")
    assert str(got[4].problem).startswith("row 5: neither 'prompt' nor 'messages'")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("spam", "Spam"),
        (" 'SPAM'. ", "Spam"),
        ("**ham**", "ham"),
        ("not spam", None),
        ("", None),
        ("spam ham", None),
    ],
)
def test_labels_are_found_whatever_their_dress_and_only_alone(answer: str, label: str | None) -> None:
    assert Labels(["Spam", " ham "]).find(answer) == label


def test_labels() -> None:
    labels = Labels(["Spam", "ham"])
    assert "Spam, ham" in labels.instruction
    assert repr(labels) == "Labels(['Spam', 'ham'])"
    for names, says in [
        (["a"], "at least two"),
        (["a", "A"], "cannot be told apart"),
        (["a", "b", " "], "one of them is empty"),
    ]:
        with pytest.raises(sa.ConfigurationError, match=says):
            Labels(names)


async def test_batches_grow_while_all_their_rows_are_finished_and_shrink_when_one_is_sent() -> None:
    size, sizes = BatchSize(), []
    async for batch in batches_of((Row(n, n + 1, str(n), False, {}, None) for n in range(5000)), size):
        sizes.append(len(batch))
        size.adapt(sent=len(sizes) == 4)
    assert sizes == [128, 256, 512, 1024, 128, 256, 512, 1024, 1160]


@pytest.mark.parametrize("nested", [False, True], ids=["columns", "messages"])
async def test_of_long_rows_few_are_in_memory_at_once(nested: bool) -> None:
    long = "x" * 1_000_000
    message = sa.user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{long}"}})
    taken = 0

    def rows() -> Iterator[Row]:
        nonlocal taken
        for taken in range(10):
            columns: dict[str, object] = {} if nested else {"id": taken, "prompt": long}
            request = sa.ChatRequest([message]) if nested else sa.ChatRequest("short")
            yield Row(taken, taken + 1, str(taken), has_id=False, columns=columns, request=request)

    sizes = []
    async for batch in batches_of(rows()):
        sizes.append(len(batch))
        assert taken < sum(sizes)
    assert sizes == [3, 3, 3, 1]
