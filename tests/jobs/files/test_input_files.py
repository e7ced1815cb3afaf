"""A folder as the input of a job: which of its files are read, and how their rows are counted and known."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.files.input_files import InputFile, InputFiles, check_folders, files_in, links_in
from segmind_async._jobs.files.output_files import Output
from segmind_async._jobs.formats.file_format import Format, OutputFormat
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import template


def put(folder: Path, **texts: str) -> Path:
    """Write files; a double underscore in a name stands for a slash, a single one for a dot."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(files: tuple[InputFile, ...]) -> list[str | None]:
    return [file.name for file in files]


def test_files_are_found_in_the_order_of_their_names_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, b_csv="text\n", a__z_parquet="", a__b__c_JSONL="", ab_ndjson="", c_tsv="")
    for hidden in (".git/x.csv", "_temporary/y.csv", "_SUCCESS", ".DS_Store", "a/.z.csv.crc"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).touch()
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"text\n"))
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    found = files_in(tmp_path)
    assert names(found) == ["a/b/c.JSONL", "a/z.parquet", "ab.ndjson", "b.csv", "c.tsv", "d.csv.gz"]
    assert [file.form for file in found] == ["jsonl", "parquet", "jsonl", "csv", "csv", "csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("*.csv", ["2025/a.csv", "2026/b.csv"], id="the-last-part"),
        pytest.param("2026/*", ["2026/b.csv", "2026/c.jsonl"], id="the-whole-name"),
        pytest.param("[!n]*", ["2025/a.csv", "2026/b.csv", "2026/c.jsonl"], id="all-but-some"),
    ],
)
def test_a_pattern_chooses_files(pattern: str, expected: list[str], tmp_path: Path) -> None:
    put(tmp_path, **{"2025__a_csv": "", "2026__b_csv": "", "2026__c_jsonl": "", "notes_md": ""})
    assert names(files_in(tmp_path, pattern=pattern)) == expected


def test_a_folder_that_cannot_be_read_as_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sa.ConfigurationError, match="holds no files, hidden ones left out"):
        files_in(tmp_path)
    put(tmp_path, a_csv="")
    with pytest.raises(sa.ConfigurationError, match=r"holds no files that match '\*\.jsonl'"):
        files_in(tmp_path, pattern="*.jsonl")
    put(tmp_path, **{f"n{n}_md": "" for n in range(5)})
    with pytest.raises(
        sa.ConfigurationError,
        match=r"no format of rows: 'n0.md', 'n1.md', 'n2.md' and 2 more; choose .* --files '\*\.csv'",
    ):
        files_in(tmp_path)
    put(tmp_path, book_xlsx="")
    with pytest.raises(sa.ConfigurationError, match=r"'book.xlsx' is a spreadsheet: save it as CSV"):
        files_in(tmp_path, pattern="*.xlsx")
    assert len(files_in(tmp_path, Format.CSV)) == 7


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(sa.ConfigurationError, match=r"holds 'gone.csv', which is not a plain file"):
        files_in(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    put(tmp_path, closed__a_csv="", b_csv="")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(PermissionError, match="closed"):
            files_in(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)


def folder(path: Path) -> InputFiles:
    put(path, a_csv="id,text\nx,one\n,two\n", b_csv="text\n", c__d_jsonl='{"id": "x", "text": "three"}\n!\n')
    return InputFiles(files_in(path), template("say {text}"))


def test_rows_are_counted_over_all_files_and_known_by_what_they_ask(tmp_path: Path) -> None:
    with folder(tmp_path).open() as rows:
        found = list(rows)
    assert [(row.index, row.file, row.id, row.has_id) for row in found] == [
        (0, "a.csv", "x", False),
        (1, "a.csv", "1", False),
        (2, "c/d.jsonl", "x", False),
        (3, "c/d.jsonl", "3", False),
    ]
    assert str(found[3].problem).startswith("c/d.jsonl, line 2: not JSON")


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, ["a.csv"]), (2, ["a.csv"] * 2), (3, ["a.csv", "a.csv", "c/d.jsonl"])]
)
def test_a_limit_is_one_of_the_whole_folder(limit: int, expected: list[str], tmp_path: Path) -> None:
    with folder(tmp_path).open(limit) as rows:
        assert [row.file for row in rows] == expected


def test_a_file_that_is_not_needed_for_the_limit_is_not_opened(tmp_path: Path) -> None:
    inputs = folder(tmp_path)
    (tmp_path / "c" / "d.jsonl").unlink()
    with inputs.open(2) as rows:
        assert len(list(rows)) == 2


def test_rows_are_counted_without_parsing_and_the_counting_can_be_stopped(tmp_path: Path) -> None:
    inputs, told, stop = folder(tmp_path), list[int](), threading.Event()
    assert inputs.count(stop, told.append) == 4
    assert told == sorted(told)
    assert told[-1] > 1
    stop.set()
    assert inputs.count(stop) is None


def test_a_single_file_keeps_its_ids(tmp_path: Path) -> None:
    put(tmp_path, a_csv="id,prompt\nx,one\n")
    one = InputFiles((InputFile(tmp_path / "a.csv", Format.CSV),), own_request)
    with one.open() as rows:
        assert [(row.id, row.has_id, row.file) for row in rows] == [("x", True, None)]
    assert one.outputs(tmp_path / "out", None) == {}


def test_outputs_mirror_names_and_formats(tmp_path: Path) -> None:
    outputs = folder(tmp_path / "in").outputs(tmp_path / "out", None)
    assert {name: (file.path, file.form, file.uniform) for name, file in outputs.items()} == {
        "a.csv": (tmp_path / "out/a.csv", "csv", True),
        "b.csv": (tmp_path / "out/b.csv", "csv", True),
        "c/d.jsonl": (tmp_path / "out/c/d.jsonl", "jsonl", False),
    }
    with pytest.raises(sa.ConfigurationError, match=r"'parquet': results of a folder .* 'a.csv' is csv"):
        folder(tmp_path / "in").outputs(tmp_path, OutputFormat.PARQUET)
    with pytest.raises(sa.ConfigurationError, match="'openai-batch'"):
        folder(tmp_path / "in").outputs(tmp_path, OutputFormat.OPENAI_BATCH)
    lines = InputFiles(files_in(tmp_path / "in", pattern="*.jsonl"), own_request)
    (batch,) = lines.outputs(tmp_path, OutputFormat.OPENAI_BATCH).values()
    assert batch.form is OutputFormat.OPENAI_BATCH


@pytest.mark.parametrize(
    ("output", "journal", "message"),
    [
        ("in/out", "j", "output=.*lies in the input"),
        ("in/../in/out", "j", "output=.*lies in the input"),
        ("out", "in/out.journal", "journal=.*lies in the input"),
        ("out", "out/journal", "journal=.*lies among the results"),
        ("file", "j", "is a file, and the input a folder; name a folder"),
    ],
)
def test_places_that_would_be_read_as_input_are_refused(
    output: str, journal: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(sa.ConfigurationError, match=message):
        check_folders(tmp_path / "in", Output(tmp_path / output), tmp_path / journal)
    check_folders(tmp_path / "in", Output(tmp_path / "out"), tmp_path / "out.journal")


def test_no_file_of_the_input_is_overwritten_by_results(tmp_path: Path) -> None:
    (tmp_path / "in" / "in").mkdir(parents=True)
    for name in ("in/x.csv", "in/in/x.csv"):
        (tmp_path / name).write_text("text\na\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "in").symlink_to(tmp_path / "in" / "in")
    rows = folder(tmp_path / "in")
    for place in (tmp_path, tmp_path / "out"):
        output = Output(place, files=rows.outputs(place, None))
        with pytest.raises(sa.ConfigurationError, match=r"output='.*in/x.csv' lies in the input"):
            check_folders(tmp_path / "in", output, tmp_path / "j")


def test_links_to_folders_are_named(tmp_path: Path) -> None:
    for name in ("in/sub", "in/.hidden", "other/below"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("link", "sub/link", ".hidden/link", ".link"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "other")
    assert links_in(tmp_path / "in") == ["link", "sub/link"]
