"""The page of a report: whole, self-contained, bounded, and nothing but data in it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.report.report import read_report
from segmind_async.cli.page import charts
from segmind_async.cli.page.html import page
from segmind_async.emulator import Emulator, FunctionBrain, Question, faults
from tests.jobs.journals import Story, fill
from tests.support import serving

EVIL = "<script>alert('x')</script>\"'><img src=http://evil.example/x onerror=alert(1)>&amp;\x1b[2J\u202e\x00"
VOID = {"meta", "br", "img", "link", "input"}
LOADS = {"src", "srcset", "data", "action", "formaction", "poster", "background", "ping", "cite"}


class Seen(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def check(text: str) -> Seen:
    """Parse a page, and hold it to what holds for every page."""
    seen = Seen(text)
    assert seen.open == []
    assert text.startswith("<!doctype html>\n")
    assert not {"script", "img", "iframe", "object", "embed", "link", "form", "a"} & set(seen.tags)
    names = {name for name, _ in seen.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert not names & LOADS
    # Links lead to the page itself, and there is no address of any other.
    ids = [value for name, value in seen.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    hrefs = [value for name, value in seen.attributes if name == "href"]
    assert {href.removeprefix("#") for href in hrefs} <= set(ids)
    assert all(href.startswith("#") for href in hrefs)
    used = {found for _, value in seen.attributes for found in re.findall(r"url\(#([^)]*)\)", value)}
    assert used <= set(ids)
    assert not re.search(r"url\((?!#)|@import|https?:", re.sub(r"http://evil[^<]*", "", text))
    assert "default-src 'none'; style-src 'unsafe-inline'" in {value for _, value in seen.attributes}
    return seen


async def made(path: Path, story: Story) -> tuple[str, Seen]:
    await fill(path, story)
    text = page(read_report(path))
    return text, check(text)


async def test_a_page_shows_all_of_a_classification(tmp_path: Path) -> None:
    text, seen = await made(tmp_path / "mails.jsonl.journal", Story())
    words = " ".join(" ".join(seen.text).split())
    assert seen.tags["svg"] == 6
    for heading in (
        "Credits left",
        "Credits spent",
        "In flight",
        "Rate",
        "Latency",
        "Errors",
        "Labels",
        "Rows worth a look",
    ):
        assert heading in words
    for figure in (
        "587",
        "97.8 % of those that ended",
        "0.3508",
        "floor 0.2",
        "14 failed or invalid",
        "BadRequestError",
        "precision",
    ):
        assert figure in words
    assert "mails.jsonl · job report" in words
    assert len(text) < 200_000


async def test_the_charts_can_be_read_on_light_and_on_dark_paper(tmp_path: Path) -> None:
    text, seen = await made(tmp_path / "j", Story())
    papers = re.findall(r"--paper: (#[0-9a-f]{6})", text)
    assert len(papers) == 2
    styles = " ".join(value for name, value in seen.attributes if name == "style")
    drawn = set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", styles)) - {
        "#ffffff"
    }  # behind the axes, clear
    assert len(drawn) == 4
    faint = {(colour, paper) for colour in drawn for paper in papers if contrast(colour, paper) < 3}
    assert {colour for colour, _ in faint} <= {charts.LINE}
    assert "svg text { fill: var(--soft) !important; font-family: inherit !important; }" in text


def contrast(one: str, other: str) -> float:
    """Return the ratio of two colours' luminances (WCAG 2.2, 1.4.11 wants 3 for graphics)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.slow
async def test_questions_stand_beside_their_answers_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    def ask(question: Question) -> str:
        return f"<b>the answer</b> to {question.prompt}"

    with serving(Emulator(FunctionBrain(ask), balance=5)) as emulator:
        emulator.script(*[fault for n in range(12) for fault in (None, faults.status(400, f"no {n}"))])
        requests = [sa.ChatRequest(f"<i>question {n}</i>", id=f"r{n}") for n in range(60)]
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            async with client.run_job(requests, journal=tmp_path / "j") as outcomes:
                assert len([outcome async for outcome in outcomes]) == 60
    report = read_report(tmp_path / "j")
    shown = [*report.ordinary, *report.slowest, *report.dearest]
    assert len(report.ordinary) == 10
    assert all(row.excerpt for row in shown)
    assert {(row.excerpt, row.answer) for row in shown if row.error is None} <= {
        (f"<i>question {n}</i>", f"<b>the answer</b> to <i>question {n}</i>") for n in range(60)
    }
    seen = check(page(report))
    texts = [text.strip() for text in seen.text if text.strip()]
    for row in report.ordinary:
        place = texts.index(row.excerpt or "")
        assert texts[place + 1] == row.answer
    assert "and 9 more rows" in texts
    assert "(no text)" not in texts
    assert "<i>question" not in page(report)


async def test_a_question_that_an_older_journal_lacks_is_not_left_blank(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(Record("id r", b"", "ok", seconds=1.0, row_index=0))
        for n in range(23):
            kept = journal.keep(Record(f"id f{n}", b"", "failed", error_type=f"Kind{n}", excerpt="q"))
        await kept
    seen = check(page(read_report(tmp_path / "j")))
    assert seen.text.count("(no text)") >= 2
    assert "and 3 more classes" in seen.text
    assert "and 13 more rows" in seen.text


async def test_a_short_job_is_drawn_from_its_beginning(tmp_path: Path) -> None:
    await fill(tmp_path / "j", Story(rows=1, runs=1, labels=()))
    moments = read_report(tmp_path / "j").timeline
    first, last = moments[0], moments[-1]
    assert len(moments) == 2
    assert (first.worked, first.progress.spent, first.progress.ended, first.progress.in_flight) == (
        0,
        0,
        0,
        0,
    )
    before, after = first.progress.statistics.balance, last.progress.statistics.balance
    assert before is not None
    assert after is not None
    assert before == after + last.progress.spent


@pytest.mark.slow
async def test_the_same_report_is_the_same_page(tmp_path: Path) -> None:
    await fill(tmp_path / "j", Story(rows=60))
    assert page(read_report(tmp_path / "j")) == page(read_report(tmp_path / "j"))


async def test_nothing_of_what_others_wrote_becomes_markup(tmp_path: Path) -> None:
    path = tmp_path / "<script>x<b>.journal"
    with Journal(path, {"model": EVIL, "labels": [EVIL, "b"]}) as journal:
        fields: dict[str, Any] = {"excerpt": EVIL, "truth": EVIL, "seconds": 1.0, "units": 5, "row_index": 0}
        await journal.keep(Record(f"id {EVIL}", b"", "failed", error_type=EVIL, message=EVIL, **fields))
        await journal.keep(Record("id 2", b"", "ok", label="b", **fields))
    text = page(read_report(path))
    seen = check(text)
    told = "".join(seen.text)
    # Written out once for each place where it stands: id, class, message, excerpt, label, …
    assert (
        told.count("<script>alert('x')</script>\"'><img src=http://evil.example/x onerror=alert(1)>&amp;")
        >= 8
    )
    assert "\\x1b[2J\\u202e\\x00" in told
    for steering in ("\x1b", "\u202e", "\x00"):
        assert steering not in text


@pytest.mark.parametrize(
    ("story", "drawings"),
    [
        pytest.param(Story(rows=1, runs=1, labels=()), 6, id="one-row"),
        pytest.param(Story(rows=12, runs=1, labels=(), rate_limit=None, failing=0), 6, id="a-dozen"),
        pytest.param(Story(rows=300, runs=20, floor=Story().floor * 0, complete=False), 6, id="many-runs"),
    ],
)
async def test_jobs_of_every_size_have_a_page(tmp_path: Path, story: Story, drawings: int) -> None:
    _, seen = await made(tmp_path / "j", story)
    assert seen.tags["svg"] == drawings


async def test_a_journal_without_rows_has_a_page(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}):
        pass
    assert check(page(read_report(tmp_path / "j"))).tags["svg"] == 0


@pytest.mark.slow
async def test_a_page_stays_small_whatever_the_job(tmp_path: Path) -> None:
    long = "ä<&" * 30_000
    with Journal(tmp_path / "j", {}) as journal:
        for n in range(3000):
            fields: dict[str, Any] = {"message": long if n < 50 else "m", "excerpt": long if n < 50 else "e"}
            kept = journal.keep(
                Record(f"id {n}{long[:2000]}", b"", "failed" if n % 2 else "ok", error_type=f"Kind{n}", truth=f"t{n}",
                       label=f"l{n}{long[:500]}", seconds=1.001**n, units=n, **fields)
            )  # fmt: skip
        await kept
    text = page(read_report(tmp_path / "j"))
    check(text)
    assert len(text) < 400_000
