"""A journal in which bits have flipped or that lost its end: the right rows, or an error that says so."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segmind_async._jobs.journal import owner
from segmind_async._jobs.journal.checksums import answer_checksum, checksum, row_checksum
from segmind_async._jobs.journal.commit_thread import wait_for
from segmind_async._jobs.journal.finished import FinishedRows
from segmind_async._jobs.journal.journal import Journal, OtherSettingsError, read_fact
from segmind_async._jobs.journal.journal_error import JournalError
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Draft, Record
from tests.jobs.journals import look_up

SETTINGS = {"model": "m", "prompt": "p"}
ROWS = 12


def record(n: int) -> Record:
    return Record(
        f"id {n}", b"digest%d" % n, "ok", units=n * 1000, seconds=0.5 + n, label="bug", attempts=1, at=5.0,
        row_index=n, parsed=f'{{"n":{n}}}', source=b"s%d" % n, raw=b'{"text":"answer %d"}' % n,
    )  # fmt: skip


async def filled(path: Path, rows: int = ROWS) -> None:
    with Journal(path, SETTINGS) as journal:
        for n in range(rows):
            await journal.keep(record(n))
        await journal.keep(replace(record(3), replaces=4))
        await journal.draft(Draft("id drafted", b"d", 7, b"draft"))
        await journal.submitted("request 1", b"digest", 9.5)
        await wait_for(journal.sample(5.0, {"ok": 1}))


def expected(rows: int = ROWS) -> dict[str, Record]:
    found = {f"id {n}": replace(record(n), number=n + 1) for n in range(rows)}
    return {**found, "id 3": replace(found["id 3"], number=rows + 1)}


async def resumed(path: Path) -> tuple[list[Record], list[Any], list[Any], int]:
    """Return all that a job's next run takes from a journal."""
    with Journal(path, SETTINGS) as journal:
        with closing(await FinishedRows.open(path)) as finished:
            looked_up = await look_up(finished, *((f"id {n}", record(n).digest) for n in range(ROWS)))
        drafts = await wait_for(journal.drafts())
        submissions = await wait_for(journal.submissions())
        return [one.record for one in looked_up if one.record], drafts, submissions, journal.damage.rows


def read(path: Path) -> list[Record]:
    """Return all that a report takes from a journal."""
    with JournalReader(path) as reader:
        reader.settings(), reader.counts(), reader.totals(), reader.samples()
        rows = list(reader.rows(raw=True))
        reader.answers(each.number for each in rows if each.number)
        return rows


async def check(path: Path, data: bytes) -> bool:
    """Return whether the journal *data* is used; each answer that it gives must be right."""
    path.write_bytes(data)
    whole, replaced = expected(), replace(record(3), number=4)
    with suppress(JournalError):
        assert all(each == whole[each.key] for each in read(path))
    path.write_bytes(data)
    try:
        rows, drafts, submissions, lost = await resumed(path)
    except JournalError:
        return False
    # Where a record is lost, the one of the same request that it has replaced is found again.
    assert all(each in (whole[each.key], replaced) for each in rows)
    assert drafts in ([], [("id drafted", b"d", 7, b"draft")])
    assert submissions in ([], [("request 1", b"digest", 9.5)])
    assert len(rows) + lost >= ROWS, "what is missing is told"
    return True


def flips(data: bytes, places: Iterable[int], seed: int) -> Iterator[bytes]:
    bits = random.Random(seed)
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << bits.randrange(8)
        yield bytes(changed)


async def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    await filled(tmp_path / "j")
    data = (tmp_path / "j").read_bytes()
    places = random.Random(1).sample(range(len(data)), 30)
    for changed in flips(data, places, seed=2):
        await check(tmp_path / "j", changed)


@pytest.mark.slow
async def test_a_bit_flipped_anywhere_that_is_used_is_found(tmp_path: Path) -> None:
    await filled(tmp_path / "j")
    data = (tmp_path / "j").read_bytes()
    used = [place for place, byte in enumerate(data) if byte]
    places = random.Random(4).sample(used, min(1000, len(used)))
    used_after_all = [await check(tmp_path / "j", changed) for changed in flips(data, places, seed=3)]
    assert any(used_after_all)
    assert not all(used_after_all)


async def test_a_damaged_answer_is_named_and_asked_again_and_its_cost_still_counts(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await filled(path)
    data = path.read_bytes()
    assert data.count(b"answer 5") == 1
    path.write_bytes(data.replace(b"answer 5", b"answer 6"))
    with pytest.raises(JournalError, match=r"row 6 of the journal .* is damaged; run its job again"):
        read(path)
    with Journal(path, SETTINGS) as journal:
        assert journal.damage.keys == ("id 5",)
        assert await wait_for(journal.spent()) == sum(n * 1000 for n in range(ROWS)) + 3000 + 7
        with closing(await FinishedRows.open(path)) as finished:
            found = await look_up(finished, *((f"id {n}", record(n).digest) for n in (5, 6)))
        assert [one.record is None for one in found] == [True, False]
    with Journal(path, SETTINGS) as journal:
        assert journal.damage.rows == 0
    assert len(read(path)) == ROWS - 1


async def test_an_answer_that_is_taken_out_while_another_looks_is_none(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await filled(path)
    with closing(await FinishedRows.open(path)) as finished:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"answer 5", b"answer 6"))
        Journal(path, SETTINGS).close()
        found = await look_up(finished, *((f"id {n}", record(n).digest) for n in (5, 6)))
    assert [one.record is None for one in found] == [True, False]


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        pytest.param("UPDATE rows SET label = 'praise' WHERE number = 6", 1, id="label"),
        pytest.param("UPDATE rows SET units = 1 WHERE number = 6", 1, id="cost"),
        pytest.param("UPDATE rows SET replaced = 0 WHERE number = 4", 1, id="replaced-returns"),
        pytest.param("UPDATE rows SET replaced = 1 WHERE number = 6", 1, id="replaced-by-none"),
        pytest.param("DELETE FROM answers WHERE number = 6", 1, id="answer-missing"),
        pytest.param("UPDATE rows SET key = CAST('id 5' AS BLOB) WHERE number = 6", 1, id="type"),
        pytest.param("UPDATE drafts SET raw = x'00'", 1, id="draft"),
        pytest.param("UPDATE submissions SET request = 'request 2'", 0, id="submission"),
        pytest.param("UPDATE samples SET facts = '{'", 0, id="sample"),
    ],
)
async def test_whatever_has_changed_in_an_entry_takes_it_out(
    tmp_path: Path, statement: str, rows: int
) -> None:
    path = tmp_path / "j"
    await filled(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    assert await check(path, path.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    with Journal(path, SETTINGS) as journal:
        assert journal.damage.rows in {rows, 0}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE meta SET value = '\"n\"' WHERE name = 'setting model'", "a setting of the job"),
        ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END", "its tables are not"),
        ("CREATE INDEX i ON rows (key)", "its tables are not"),
    ],
)
async def test_damaged_settings_and_foreign_tables_are_refused(
    tmp_path: Path, statement: str, message: str
) -> None:
    await filled(tmp_path / "j")
    with closing(sqlite3.connect(tmp_path / "j")) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(JournalError, match=f"is damaged .{message}"):
        Journal(tmp_path / "j", SETTINGS)
    with pytest.raises(JournalError, match="damaged"):
        read(tmp_path / "j")


async def test_a_damaged_setting_or_fact_is_told_with_the_journal_that_has_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        await wait_for(journal.set_fact("state", 1))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE meta SET value = '2' WHERE name IN ('setting model', 'state')")
        database.commit()
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match=re.escape(f"{str(path)!r} is damaged (in its setting model)")):
            reader.settings()
        with pytest.raises(JournalError, match=f"'state' in the journal {str(path)!r} is damaged; run its"):
            reader.fact("state")


def test_a_checksum_tells_types_and_borders_apart() -> None:
    assert checksum("ab", "c") != checksum("a", "bc")
    assert checksum("a") != checksum(b"a")
    assert checksum(None) != checksum("None")
    assert checksum(bytearray(b"a"), 1.0) == checksum("a", 1)
    assert answer_checksum(1, b"a") != answer_checksum(2, b"a") != answer_checksum(2, b"b")
    assert answer_checksum(1, "a") == answer_checksum(1, 97) == -1
    rows = [row_checksum(("k", 1), has, replaced) for has in (True, False) for replaced in (0, 1, 2, None)]
    assert len(set(rows)) == 5


OPEN = "from pathlib import Path\nfrom segmind_async._jobs.journal.journal import Journal\nJournal(Path({!r}), {!r}).close()"


def opened_elsewhere(path: Path) -> str:
    script = OPEN.format(str(path), SETTINGS)
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return got.stderr


@pytest.mark.slow
async def test_a_second_process_is_refused_although_the_lock_file_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        (tmp_path / "j.lock").unlink()
        assert "another process is working on this journal" in opened_elsewhere(path)
        with pytest.raises(JournalError, match="another process is working"):
            Journal(path, SETTINGS)
        await journal.keep(record(1))
    assert not opened_elsewhere(path)


async def test_whoever_did_not_open_a_journal_does_not_own_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await filled(path)
    with pytest.raises(OtherSettingsError):
        Journal(path, {**SETTINGS, "model": "another"})
    assert _owner_of(path) is None
    Journal(path, SETTINGS, wait=False).close()
    assert _owner_of(path) is None


def _owner_of(path: Path) -> object:
    with closing(sqlite3.connect(path)) as database:
        return read_fact(database, path, owner.FACT)


async def test_a_process_whose_journal_was_taken_over_commits_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as first:
        await first.keep(record(1))
        (tmp_path / "j.lock").unlink()
        monkeypatch.setattr(owner, "lives", lambda _owner: False)  # as from another container
        with Journal(path, SETTINGS) as second:
            with pytest.raises(JournalError, match="taken over by another process"):
                await first.keep(record(2))
            assert isinstance(first.commit_error, JournalError)
            await second.keep(record(3))
            first.close()
            await second.keep(record(4))
    assert [each.key for each in read(path)] == ["id 1", "id 3", "id 4"]


def test_an_owner_lives_as_long_as_its_process_has_the_journal_open() -> None:
    one = owner.Owner()
    assert "Owner(" in repr(one)
    assert owner.lives(one.as_json())
    one.forget()
    assert not owner.lives(one.as_json())
    assert not owner.lives(None)
    assert not owner.lives({"pid": 1, "token": "t", "process": "of another start of the machine"})
    assert not owner.lives({"pid": 1 << 30, "token": "t", "process": None})


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells")
def test_a_killed_process_that_nobody_waits_for_is_no_owner() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = owner._process(child.pid)
        entry = {"pid": child.pid, "token": "t", "process": process}
        assert process is not None
        assert owner.lives(entry)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not owner.lives(entry)


def test_a_reader_takes_no_lock_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS), JournalReader(path) as reader:
        assert reader.owner is not None
        assert (tmp_path / "j.lock").exists()
    with JournalReader(path) as reader:
        (tmp_path / "j.lock").write_text("process 1")
        assert reader.owner is None, "its process was killed"
        assert (tmp_path / "j.lock").read_text() == "process 1"
