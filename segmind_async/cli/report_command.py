"""`report`: the report of a job from its journal, on a terminal, as JSON, or as an HTML page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .._jobs.report.report import Latency, Report, read_report
from .._jobs.report.scores import Scores
from .._jobs.report.shards import read_shards
from .._text.escaping import one_line
from .._text.quantities import credits_text, duration
from ..models import Status
from .console import say, show_json
from .exit_codes import Exit
from .summary import JOURNALS
from .wording import count, job_name, latency_text, percent, rate_text, summary

_LABEL = 10
"""Columns of a line's label."""

_SHOWN = 5
"""Sample rows shown of each group."""

_CORNER = "right ↓ given →"
"""The corner of a confusion matrix."""

_FIGURES = 40
"""Columns of the figures of a label."""

_PIPED = 200
"""Columns if stdout is not a terminal: lines may then be long."""


def journal_of(path: Path) -> Path:
    """Return the journal that *path* names: itself, or that of an output, a file or a folder."""
    path = path if path.name else path.resolve()
    if path.name.endswith((".journal", ".journals")):
        return path
    beside = (path.with_name(path.name + ".journal"), path.with_name(path.name + JOURNALS))
    return next((found for found in beside if found.exists()), path)


def run(journal: Path, html: Path | None, *, as_json: bool) -> Exit:
    """Print or write the report of a journal or a folder of them; raises JournalError if there is none."""
    path = journal_of(journal)
    found = read_shards(path) if path.is_dir() else read_report(path)
    if html is not None:
        write_html(found, html)
        say(f"page in {html}")
    if as_json:
        show_json(found.as_json())
    elif html is None:
        show(found, Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED))
    return Exit.OK


def write_html(report: Report, path: Path) -> None:
    """Write the page of a report; says so if it has no charts because matplotlib is missing."""
    from .page import html  # noqa: PLC0415  # matplotlib takes half a second

    html.write_page(report, path)
    if not html.HAS_CHARTS:
        say("the page has no charts, which need matplotlib: pip install 'segmind-async[report]'")


def show(report: Report, console: Console) -> None:
    """Print a report, no wider than *console*."""
    parts: list[Text | Table] = [_head(report)]
    if report.latency is not None:
        parts += bars(report.latency, console.width)
    if report.errors:
        parts += [Text(), *_errors(report)]
    if report.scores is not None:
        parts += [Text(), *_scores(report.scores, console.width)]
    parts += _samples(report)
    with console.capture() as printed:
        console.print(Group(*parts))
    # The table pads its columns with blanks.
    console.file.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def _head(report: Report) -> Table:
    """Return the summary lines of a job; they are wrapped, not truncated."""
    failed = report.counts.get(Status.FAILED, 0)
    rows = Text(f"{count(report.counts.get(Status.OK, 0))} ok")
    rows.append(f" · {count(failed)} failed", "red" if failed else "")
    if report.progress is not None and report.progress.invalid:
        rows.append(f" · {count(report.progress.invalid)} invalid")
    if report.pending is not None:
        rows.append(f" · {count(report.pending)} to go")
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", width=_LABEL - 1, no_wrap=True)
    table.add_column()
    table.add_row(
        "job", Text.assemble((job_name(report), "bold"), *(f" · {part}" for part in summary(report)))
    )
    table.add_row("rows", rows)
    table.add_row("credits", Text(_money(report)))
    for place, text in enumerate(_keys(report)):
        table.add_row("" if place else "keys", Text(text))
    table.add_row("time", Text(_time(report)))
    table.add_row("sending", _sending(report))
    if report.latency is not None:
        found = [latency_text(each) for each in (report.latency.p50, report.latency.p95, report.latency.p99)]
        table.add_row("latency", Text("p50 {} · p95 {} · p99 {}".format(*found)))
    return table


def _money(report: Report) -> str:
    parts = [f"{credits_text(report.totals.spent)} spent"]
    if report.mean_cost is not None:
        parts.append(f"{credits_text(report.mean_cost * 1000)} a thousand rows")
    progress = report.progress
    if progress is not None and progress.statistics.balance is not None:
        if report.owner is not None:
            parts.append(f"{credits_text(progress.statistics.held)} held")
        floor = f" (floor {progress.floor.normalize():f})" if progress.floor else ""
        parts.append(f"{credits_text(progress.statistics.balance)} left{floor}")
    if report.pending and report.mean_cost is not None:
        parts.append(f"{credits_text(report.pending * report.mean_cost)} needed to finish")
    if report.totals.unpriced:
        parts.append(f"{count(report.totals.unpriced)} answers of unknown cost")
    return " · ".join(parts)


def _keys(report: Report) -> list[str]:
    """Return a line for each of several keys, and one for what was spent with none of them that is known."""
    lines = []
    for key in report.keys:
        parts = [f"{credits_text(key.spent)} spent"]
        if key.balance is not None:
            parts.append(f"{credits_text(key.balance)} left")
        if key.rate_limited:
            parts.append(f"{count(key.rate_limited)} × 429")
        lines.append(f"{one_line(key.name)}: {' · '.join([*parts, one_line(key.state)])}")
    if report.keys and report.of_no_known_key > 0:
        lines.append(f"with keys that were not recorded: {credits_text(report.of_no_known_key)} spent")
    return lines


def _time(report: Report) -> str:
    parts = [f"{duration(report.worked)} of work", rate_text(report.rate)]
    if report.ends_in is not None:
        parts.append(f"about {duration(report.ends_in)} to go")
    if report.floor_in is not None:
        parts.append(f"no credits left to spend in {duration(report.floor_in)}")
    return " · ".join(parts)


def _sending(report: Report) -> Text:
    text = Text(f"{count(report.totals.attempts)} attempts")
    if report.rate_limited:
        text.append(f" · {count(report.rate_limited)} × 429")
    if report.totals.in_doubt:
        text.append(f" · {count(report.totals.in_doubt)} maybe paid twice", "yellow")
    if report.cut_off:
        text.append(f" · {count(report.cut_off)} cut off on their way, maybe paid", "yellow")
    progress = report.progress
    if progress is not None:
        client = progress.statistics
        now = f"{progress.in_flight} of {client.limit}" if report.owner else f"limit {client.limit}"
        text.append(f" · {now} in flight")
        if report.owner and progress.waiting and client.wait is not None:
            text.append(f", {count(progress.waiting)} waiting: {client.wait}")
        if client.requests_per_minute is not None:
            text.append(f", at most {count(round(client.requests_per_minute))} calls a minute")
    return text


def bars(latency: Latency, width: int) -> list[Text]:
    """Return a histogram of the latencies."""
    edges = [
        f"{one.least:g}–{one.below:g} s" if one.below is not None else f"over {one.least:g} s"
        for one in latency.bins
    ]
    wide = max(len(edge) for edge in edges)
    most = max(one.count for one in latency.bins)
    figures = len(count(most))
    room = max(10, min(60, width - _LABEL - wide - figures - 4))
    lines = []
    first = next(n for n, one in enumerate(latency.bins) if one.count)
    for edge, one in [*zip(edges, latency.bins, strict=True)][first:]:
        filled = max(one.count > 0, round(room * one.count / most))
        lines.append(
            Text.assemble(
                " " * _LABEL, (f"{edge:>{wide}}  ", "dim"), ("█" * filled, "cyan"), f" {count(one.count)}"
            )
        )
    return lines


def _errors(report: Report) -> list[Text]:
    wide = max(len(count(one.count)) for one in report.errors)
    return [
        _labelled_line(
            "errors" if not n else "",
            (f"{count(one.count):>{wide}} × {one_line(one.name)}", "red"),
            (f"  {one_line(one.example.message or '')}", "dim"),
        )
        for n, one in enumerate(report.errors[: 2 * _SHOWN])
    ] + _more(len(report.errors) - 2 * _SHOWN, "classes")


def _more(number: int, of_what: str) -> list[Text]:
    """Return a line that says how many more there are, if there are."""
    return [_labelled_line("", (f"and {count(number)} more {of_what}", "dim"))] if number > 0 else []


def _scores(scores: Scores, width: int) -> list[Text | Table]:
    got_none = f" · {count(scores.unanswered)} got no label" if scores.unanswered else ""
    head = _labelled_line(
        "labels",
        (f"{percent(scores.accuracy)} right", "bold"),
        f" of {count(scores.judged)} rows whose label is known{got_none}",
    )
    labels = [one_line(label) for label in scores.labels]
    figures = ("rows", "recall", "precision", "F1")
    by_label = [
        [Text(count(s.rows)), *(Text(percent(share)) for share in (s.recall, s.precision, s.f1))]
        for s in scores.by_label
    ]
    matrix = [
        [
            Text(count(cell), style="green" if n == m else "red" if cell else "dim")
            for m, cell in enumerate(line)
        ]
        for n, line in enumerate(scores.matrix)
    ]
    # Side by side where both fit, else one below the other; the matrix is omitted if it does not fit alone.
    of_matrix = max(len(_CORNER), *map(len, labels)) + sum(max(len(label), 7) + 2 for label in labels)
    if _LABEL + of_matrix + _FIGURES <= width:
        both = [[*left, *right] for left, right in zip(matrix, by_label, strict=True)]
        return [head, _by_label(" " * _LABEL, _CORNER, [*labels, *figures], labels, both)]
    found: list[Text | Table] = [head]
    if of_matrix <= width:
        found += [Text(), _by_label("", _CORNER, labels, labels, matrix), Text()]
    return [*found, _by_label(" " * _LABEL, "right label", figures, labels, by_label)]


def _by_label(
    margin: str, corner: str, heads: Sequence[str], labels: Sequence[str], cells: Sequence[Sequence[Text]]
) -> Table:
    """Return a table with a line for each label."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(Text(margin + corner), no_wrap=True)
    for name in heads:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for label, line in zip(labels, cells, strict=True):
        table.add_row(Text(margin + label), *line)
    return table


def _samples(report: Report) -> list[Text]:
    groups = {
        "failed": [(row, one_line(row.error or "")) for row in report.failed],
        "misjudged": [
            (row, f"{one_line(row.label or '')}, not {one_line(row.truth or '')}") for row in report.misjudged
        ],
        "slowest": [(row, latency_text(row.seconds)) for row in report.slowest],
        "dearest": [(row, credits_text(row.cost)) for row in report.dearest],
    }
    totals = {"failed": report.counts.get(Status.FAILED, 0), "misjudged": report.misjudged_count}
    lines = []
    for name_of_group, found in groups.items():
        rows = found[:_SHOWN]
        wide = [
            max(len(text) for text in column)
            for column in zip(*((one_line(r.name), why) for r, why in rows), strict=True)
        ]
        lines += [Text()] if rows else []
        for n, (row, why) in enumerate(rows):
            text = row.excerpt if row.excerpt is not None else row.message
            name = f"{one_line(row.name):<{wide[0]}}  {why:<{wide[1]}}  "
            lines.append(_labelled_line(name_of_group if not n else "", name, (one_line(text or ""), "dim")))
        lines += _more(totals.get(name_of_group, 0) - len(rows), "rows") if rows else []
    return lines


def _labelled_line(label: str, *parts: str | tuple[str, str]) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), *parts, no_wrap=True, overflow="ellipsis")
