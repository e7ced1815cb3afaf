"""The page of a report: whole, self-contained, bounded, and nothing but data in it."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.report.report import read_report
from segmind_async.cli.page import charts
from segmind_async.cli.page.html import page
from tests.jobs.journals import Story, fill

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
    assert seen.tags["svg"] == 5
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
        pytest.param(Story(rows=1, runs=1, labels=()), 1, id="one-row"),
        pytest.param(Story(rows=12, runs=1, labels=(), rate_limit=None, failing=0), 5, id="a-dozen"),
        pytest.param(Story(rows=300, runs=20, floor=Story().floor * 0, complete=False), 5, id="many-runs"),
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
