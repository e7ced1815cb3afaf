"""A report as one self-contained HTML page.

The page is built as a tree and serialised at the end, so that no text can become markup; a content security
policy in its head also forbids loading or running anything.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ..._jobs.report.report import Report
from ..._jobs.report.samples import SampleRow
from ..._jobs.report.scores import Scores
from ..._text.escaping import one_line
from ..._text.quantities import credits_text, duration
from ..._version import __version__
from ...models import Status
from ..wording import count, job_name, latency_text, percent, rate_text, summary

try:
    from . import charts
except ImportError:  # matplotlib comes with the extra [report]
    charts = None  # type: ignore[assignment]  # its type is that of the module

HAS_CHARTS: bool = charts is not None
"""Whether pages have charts."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_MOST_CLASSES = 20
"""Error classes listed at most."""


_MOST_LABEL = 24
"""Characters of a label shown at most."""


_NO_TEXT = "(no text)"
"""Stands for a question of images alone, or one that an older journal does not hold."""


def write_page(report: Report, path: Path) -> None:
    """Write the page of a report to *path*; raises OSError if that fails."""
    path.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Return the page of a report."""
    main = _tag(
        "main",
        *_head(report),
        *_keys(report),
        *_over_time(report),
        *_latency(report),
        *_errors(report),
        *_labels(report.scores),
        *_samples(report),
        _tag(
            "footer",
            f"Written by segmind-async {__version__} from {report.journal}. Amounts are in credits.",
        ),
    )
    head = _tag(
        "head",
        _tag("meta", charset="utf-8"),
        _tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _tag("meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        _tag("title", f"{job_name(report)} · job report"),
        _style(),
    )
    html = _tag("html", head, _tag("body", main), lang="en")
    return "<!doctype html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _head(report: Report) -> list[ET.Element]:
    ok, failed = report.counts.get("ok", 0), report.counts.get("failed", 0)
    invalid = report.progress.invalid if report.progress else 0
    parts = [
        ("answered", "ok", ok),
        ("failed or invalid" if invalid else "failed", "failed", failed + invalid),
        ("to go", "", report.pending or 0),
    ]
    total = sum(number for _, _, number in parts) or 1
    shares = [
        _tag("i", {"class": kind, "style": f"width: {100 * number / total:.2f}%"})
        for _, kind, number in parts
        if kind
    ]
    legend = [
        _tag("span", _tag("i", {"class": kind}), f"{count(number)} {name}")
        for name, kind, number in parts
        if number or kind == "ok"
    ]
    return [
        _tag("h1", job_name(report)),
        _tag("p", " · ".join(summary(report)), {"class": "state soft"}),
        _tag("div", *_tiles(report), {"class": "tiles"}),
        _tag("div", *shares, {"class": "progress"}),
        _tag("div", *legend, {"class": "legend"}),
    ]


def _tiles(report: Report) -> list[ET.Element]:
    """Return the main figures, each with an explanation."""
    ok, progress = report.counts.get("ok", 0), report.progress
    failed = report.counts.get("failed", 0)
    tiles = [
        _tile(
            "rows answered",
            count(ok),
            f"{percent(ok / (ok + failed) if ok + failed else None)} of those that ended",
        )
    ]
    if report.scores is not None:
        tiles.append(
            _tile(
                "labels right",
                percent(report.scores.accuracy),
                f"of {count(report.scores.judged)} rows with a known label",
            )
        )
    cost = "" if report.mean_cost is None else f"{credits_text(report.mean_cost * 1000)} a thousand rows"
    tiles.append(_tile("credits spent", credits_text(report.totals.spent), cost))
    if progress is not None and progress.statistics.balance is not None:
        floor = f"floor {progress.floor.normalize():f}" if progress.floor else ""
        tiles.append(_tile("credits left", credits_text(progress.statistics.balance), floor))
    if report.pending and report.mean_cost is not None:
        needed = credits_text(report.pending * report.mean_cost)
        soon = (
            f"about {duration(report.ends_in)} to go"
            if report.ends_in is not None
            else f"for {count(report.pending)} rows to go"
        )
        tiles.append(_tile("credits needed", needed, soon))
    tiles.append(_tile("time of work", duration(report.worked), rate_text(report.rate)))
    if report.latency is not None:
        found = report.latency
        tiles.append(
            _tile(
                "latency, p50",
                latency_text(found.p50),
                f"p95 {latency_text(found.p95)}, p99 {latency_text(found.p99)}",
            )
        )
    return tiles


def _tile(name: str, figure: str, meaning: str) -> ET.Element:
    return _tag(
        "div",
        _tag("span", name, {"class": "name"}),
        _tag("b", figure),
        _tag("span", meaning),
        {"class": "tile"},
    )


def _keys(report: Report) -> list[ET.Element]:
    if not report.keys:
        return []
    # On a phone the cells of a row stand below each other, without the heads of columns.
    rows = [
        [
            _cell(key.name, "kind"),
            _cell(f"{credits_text(key.spent)} spent", "num"),
            _cell("" if key.balance is None else f"{credits_text(key.balance)} left", "num"),
            _cell(f"{count(key.rate_limited)} × 429" if key.rate_limited else "", "num"),
            _cell(key.state, "what"),
        ]
        for key in report.keys
    ]
    if report.of_no_known_key > 0:
        spent = _cell(f"{credits_text(report.of_no_known_key)} spent", "num")
        rows.append([_cell("not recorded", "kind"), spent, _cell(""), _cell(""), _cell("")])
    return [_tag("h2", "Keys"), _table(["key", "", "", "", "state"], rows)]


def _over_time(report: Report) -> list[ET.Element]:
    moments = report.timeline
    if len(moments) < 2:
        return []
    if charts is None:
        return [_tag("p", "Charts need the extra: pip install 'segmind-async[report]'", {"class": "soft"})]
    pace = moments[-1].progress.statistics.requests_per_minute
    allowed = "" if pace is None else f"; dashed: {count(round(pace))} calls a minute allowed"
    figures = [
        _figure("Credits spent", f"{credits_text(report.totals.spent)} in all", charts.spent(moments)),
        _figure(
            "In flight",
            "calls on the wire, under the limit in force",
            charts.in_flight(moments),
        ),
        _figure(
            "Rate",
            f"rows that ended{allowed}",
            charts.rate(moments),
        ),
    ]
    if sum(moment.progress.statistics.balance is not None for moment in moments) > 1:
        figures.insert(
            0,
            _figure(
                "Credits left", "as last known; the band is held for calls in flight", charts.balance(moments)
            ),
        )
    runs = f"{report.runs} runs; dotted lines separate them." if report.runs > 1 else ""
    return [
        _tag("h2", "Over time"),
        *([_tag("p", runs, {"class": "soft", "style": "margin-bottom: 18px"})] if runs else []),
        _tag("div", *figures, {"class": "charts"}),
    ]


def _latency(report: Report) -> list[ET.Element]:
    if report.latency is None or charts is None:
        return []
    wide = _tag("div", charts.latencies(report.latency), {"class": "wide"})
    # Made smaller, the texts of the wide one could not be read on a phone.
    narrow = _tag("div", charts.latencies(report.latency, narrow=True), {"class": "narrow"})
    return [_tag("h2", "Latency"), _tag("figure", wide, narrow)]


def _figure(title: str, meaning: str, chart: ET.Element) -> ET.Element:
    return _tag("figure", _tag("figcaption", title, _tag("span", meaning)), chart)


def _errors(report: Report) -> list[ET.Element]:
    if not report.errors:
        return []
    most = max(one.count for one in report.errors)
    rows = [
        [
            _cell(count(one.count), "num"),
            _tag("td", _tag("i", {"style": f"width: {100 * one.count / most:.1f}%"}), {"class": "bar"}),
            _cell(one.name, "kind"),
            _cell(one.example.message or "", "what"),
        ]
        for one in report.errors[:_MOST_CLASSES]
    ]
    more = _more(len(report.errors) - len(rows), "classes")
    return [_tag("h2", "Errors"), _table(["rows", "", "class", "first message"], rows), *more]


def _labels(scores: Scores | None) -> list[ET.Element]:
    if scores is None:
        return []
    heads = [
        _tag("th", "right label", _tag("br"), "↓ · given →", {"class": "row"}),
        *(_tag("th", _short(label)) for label in scores.labels),
        *(
            _tag("th", name, {"class": "gap" if not n else ""})
            for n, name in enumerate(("rows", "recall", "precision", "F1"))
        ),
    ]
    rows = [_tag("tr", *heads)]
    for n, score in enumerate(scores.by_label):
        figures = (count(score.rows), percent(score.recall), percent(score.precision), percent(score.f1))
        rows.append(
            _tag(
                "tr",
                _tag("th", _short(score.label), {"class": "row"}),
                *(
                    _confusion(number, score.rows, is_right=n == m)
                    for m, number in enumerate(scores.matrix[n])
                ),
                *(_cell(figure, "score gap" if not m else "score") for m, figure in enumerate(figures)),
            )
        )
    none = f" {count(scores.unanswered)} rows more got no label at all." if scores.unanswered else ""
    text = (
        f"{percent(scores.accuracy)} of {count(scores.judged)} rows were given the right label.{none} "
        "A cell counts rows with one right label and one given label; its shade is its share of the line."
    )
    return [
        _tag("h2", "Labels"),
        _tag("p", text, {"class": "soft", "style": "margin-bottom: 14px"}),
        _tag("div", _tag("table", *rows, {"class": "matrix"}), {"class": "scroll"}),
    ]


def _short(label: str) -> str:
    return label if len(label) <= _MOST_LABEL else label[: _MOST_LABEL - 1] + "…"


def _confusion(number: int, of_all: int, *, is_right: bool) -> ET.Element:
    share = number / of_all if of_all else 0.0
    # Errors are rare in a good result: their shade is scaled up.
    shade = share * 80 if is_right else min(80.0, share * 200)
    kind = f"{'right' if is_right else 'wrong'}{' strong' if shade > 45 else ''}"
    return _tag("td", count(number), {"class": kind, "style": f"--share: {shade:.0f}%"})


def _samples(report: Report) -> list[ET.Element]:
    """Return tables of sample rows, each with its question and its answer."""
    failed = report.counts.get(Status.FAILED, 0)
    groups = (
        _Group("Answered, drawn from all rows", [], [(row, []) for row in report.ordinary]),
        _Group(
            "Failed", ["error"], [(row, [_cell(row.error or "", "kind")]) for row in report.failed], failed
        ),
        _Group(
            "Misjudged",
            ["given label, right label"],
            [(row, [_judgement(row)]) for row in report.misjudged],
            report.misjudged_count,
        ),
        _Group("Slowest", ["took", "credits"], [(row, _sizes(row)) for row in report.slowest]),
        _Group("Dearest", ["took", "credits"], [(row, _sizes(row)) for row in report.dearest]),
    )
    found: list[ET.Element] = []
    for group in groups:
        if group.rows:
            lines = [[_name(row), *cells, _question(row), _answer(row)] for row, cells in group.rows]
            table = _table(["row", *group.heads, "question", "answer"], lines)
            found += [_tag("h3", group.title), table, *_more(group.total - len(lines), "rows")]
    return [_tag("h2", "Rows worth a look"), *found] if found else []


class _Group(NamedTuple):
    """Sample rows of one kind, each with the cells of its own."""

    title: str
    heads: list[str]
    rows: Sequence[tuple[SampleRow, list[ET.Element]]]
    total: int = 0
    """How many there are in all; 0 where the shown ones are all that is meant."""


def _more(number: int, of_what: str) -> list[ET.Element]:
    """Return a line that says how many more there are, if there are."""
    return [_tag("p", f"and {count(number)} more {of_what}", {"class": "soft more"})] if number > 0 else []


def _name(row: SampleRow) -> ET.Element:
    place = "" if row.row_index is None else f"row {count(row.row_index + 1)} of the input"
    return _tag("td", row.name, _tag("div", place, {"class": "soft"}), {"class": "id"})


def _judgement(row: SampleRow) -> ET.Element:
    return _cell(f"{row.label}, not {row.truth}", "kind")


def _sizes(row: SampleRow) -> list[ET.Element]:
    return [_cell(latency_text(row.seconds), "num"), _cell(credits_text(row.cost), "num")]


def _question(row: SampleRow) -> ET.Element:
    return _tag("td", row.excerpt or _NO_TEXT, {"class": "what" if row.excerpt else "what soft"})


def _answer(row: SampleRow) -> ET.Element:
    """Return the cell with a row's answer, and its error message."""
    if row.answer is None:
        return _tag("td", row.message or _NO_TEXT, {"class": "what answer soft"})
    message = [_tag("div", row.message, {"class": "soft"})] if row.message else []
    return _tag("td", row.answer, *message, {"class": "what answer"})


def _table(heads: Sequence[str], rows: Sequence[Sequence[ET.Element]]) -> ET.Element:
    first = _tag("tr", *(_tag("th", head) for head in heads))
    return _tag(
        "div",
        _tag("table", first, *(_tag("tr", *row) for row in rows), {"class": "full"}),
        {"class": "scroll"},
    )


def _cell(text: str, css_class: str = "") -> ET.Element:
    return _tag("td", text, {"class": css_class} if css_class else {})


def _style() -> ET.Element:
    style = ET.Element("style")
    style.text = files("segmind_async.cli.page").joinpath("page.css").read_text(encoding="utf-8")
    return style


def _tag(tag: str, *content: str | ET.Element | dict[str, str], **attributes: str) -> ET.Element:
    """Return an element with texts and elements in order; a dict holds attributes, too."""
    element = ET.Element(tag, attributes)
    last: ET.Element | None = None
    for part in content:
        if isinstance(part, dict):
            element.attrib.update(part)
        elif isinstance(part, str):
            text = one_line(part) if part.strip() else part
            if last is None:
                element.text = (element.text or "") + text
            else:
                last.tail = (last.tail or "") + text
        else:
            element.append(part)
            last = part
    return element
