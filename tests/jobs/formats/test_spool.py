"""Rows that come only once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.formats.spool import spool, spool_of
from segmind_async._jobs.journal.journal import Journal
from segmind_async.jobs import JournalError


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_a_stream_is_kept_beside_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "out.journal"
    path = spool(io.BytesIO(b"rows"), journal)
    assert (path, path.read_bytes()) == (spool_of(journal), b"rows")
    assert spool(io.BytesIO(b"others"), journal).read_bytes() == b"others"


def test_from_a_terminal_nothing_is_read_and_what_was_kept_is_taken_up(tmp_path: Path) -> None:
    with pytest.raises(sa.ConfigurationError, match="nothing is piped in"):
        spool(Terminal(b"typed"), tmp_path / "j")
    spool(io.BytesIO(b"rows"), tmp_path / "j")
    assert spool(Terminal(b"typed"), tmp_path / "j").read_bytes() == b"rows"


def test_rows_under_somebody_who_works_on_them_stay(tmp_path: Path) -> None:
    spool(io.BytesIO(b"rows"), tmp_path / "j")
    with Journal(tmp_path / "j", {}):
        with pytest.raises(JournalError, match=r"process \d+ is working on"):
            spool(io.BytesIO(b"others"), tmp_path / "j")
    assert spool_of(tmp_path / "j").read_bytes() == b"rows"
