"""The charts of a report's page, as SVG elements.

Lines and areas have colours that can be read on light and on dark paper; texts take colour and font from
the page's style sheet. This module knows nothing of HTML.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..._jobs.report.report import Latency
from ..._jobs.report.timeline import Moment
from ..wording import count, latency_text

SOFT, LINE, MAIN, WARM = "#7d838f", "#8f959f", "#4a80dc", "#d9662f"
"""Each has a contrast of at least 3:1 to the light and to the dark paper, except that of the grid."""

_WIDTH, _HEIGHT = 5.2, 2.2
"""Inches, of 72 of the drawing's units."""

_ROUND = (1, 2, 5, 10)
"""Steps of an axis."""

_FEW = 12
"""Number of bars up to which a histogram has its normal width."""

_MOST_RUNS = 12
"""Runs up to which their ends are marked."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "text.color": SOFT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "grid.alpha": 0.35,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
}

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}


def balance(moments: Sequence[Moment]) -> ET.Element:
    """Draw the credits left, the part of them held, and the floor."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        known = [
            (moment, moment.progress.statistics.balance)
            for moment in moments
            if moment.progress.statistics.balance is not None
        ]
        times, unit = _times([moment for moment, _ in known])
        left = [float(amount) for _, amount in known]
        free = [float(amount - moment.progress.statistics.held) for moment, amount in known]
        floor = moments[-1].progress.floor
        axes.fill_between(times, free, left, color=MAIN, alpha=0.22, linewidth=0)
        axes.plot(times, left, color=MAIN)
        if floor:
            axes.axhline(float(floor), color=WARM, linewidth=1, linestyle=(0, (4, 3)))
            _mark(axes, float(floor), f"floor {floor.normalize():f}", WARM)
        if min(left) < max(left) * 2 / 3:
            axes.set_ylim(bottom=0)
        _over_time(axes, moments, times, unit, "credits")

    return _drawn(draw, "Credits left over time")


def spent(moments: Sequence[Moment]) -> ET.Element:
    """Draw the credits spent so far."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        times, unit = _times(moments)
        sums = [float(moment.progress.spent_by_all) for moment in moments]
        axes.fill_between(times, sums, color=MAIN, alpha=0.12, linewidth=0)
        axes.plot(times, sums, color=MAIN)
        axes.set_ylim(bottom=0)
        _over_time(axes, moments, times, unit, "credits")

    return _drawn(draw, "Credits spent over time")


def in_flight(moments: Sequence[Moment]) -> ET.Element:
    """Draw the calls in flight under their limit."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        times, unit = _times(moments)
        axes.fill_between(
            times,
            [moment.progress.in_flight for moment in moments],
            step="post",
            color=MAIN,
            alpha=0.3,
            linewidth=0,
        )
        axes.step(
            times,
            [moment.progress.statistics.limit for moment in moments],
            where="post",
            color=SOFT,
            linewidth=1,
        )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        _over_time(axes, moments, times, unit, "calls")

    return _drawn(draw, "Calls in flight and their limit over time")


def rate(moments: Sequence[Moment]) -> ET.Element:
    """Draw rows per second, the permitted rate, and 429 answers."""

    def draw(figure: Figure) -> None:
        refused = [moment.rate_limited for moment in moments]
        times, unit = _times(moments)
        if any(refused):
            axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
            width = max(times) / 120 or 1.0
            came = [(time, number) for time, number in zip(times, refused, strict=True) if number]
            below.bar(*zip(*came, strict=True), width=width, color=WARM)
            below.set_ylim(bottom=0)
            below.set_ylabel("429s")
            below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
            axes.tick_params(axis="x", length=0)
        else:
            axes = below = figure.subplots()
        axes.plot(times, [moment.rate for moment in moments], color=MAIN)
        paces = [moment.progress.statistics.requests_per_minute for moment in moments]
        allowed = [float("nan") if pace is None else pace / 60 for pace in paces]
        axes.step(times, allowed, where="post", color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_ylim(bottom=0)
        axes.set_ylabel("rows a second")
        _over_time(below, moments, times, unit, below.get_ylabel())

    return _drawn(draw, "Rows that ended a second, and 429 answers, over time")


def latencies(latency: Latency, *, narrow: bool = False) -> ET.Element:
    """Draw a histogram of the latencies, and the quantiles; *narrow*: for a phone."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        bins = latency.bins
        width = (bins[0].below or 1.0) - bins[0].least
        for one in bins:
            colour, alpha = (SOFT, 0.5) if one.below is None else (MAIN, 0.75)
            axes.bar(one.least, one.count, width * 0.94, align="edge", color=colour, alpha=alpha)
        top = max(one.count for one in bins)
        # A few bars do not fill the whole width: calls that take alike would be one wall.
        margin = width * max(0, _FEW - len(bins)) / 2
        begin, end = max(0.0, bins[0].least - margin), bins[-1].least + width + margin
        for n, (share, value) in enumerate(((50, latency.p50), (95, latency.p95), (99, latency.p99))):
            if value > end:
                continue  # within the last bar, which holds all longer ones
            is_late = value > begin + 0.8 * (end - begin)
            axes.axvline(value, color=WARM, linewidth=1)
            axes.annotate(
                f"p{share} {latency_text(value)}", (value, top * (1.44 - 0.13 * n)),
                (-4 if is_late else 4, 0), textcoords="offset points", ha="right" if is_late else "left",
                color=SOFT, va="top",
            )  # fmt: skip
        axes.set_ylim(0, top * 1.46)
        axes.set_xlim(begin, end)
        axes.xaxis.set_major_locator(MaxNLocator(7 if narrow else 14, steps=_ROUND))
        if bins[-1].below is None:
            axes.annotate(
                f"over {bins[-1].least:g} s", (bins[-1].least + width, bins[-1].count), (0, 3),
                textcoords="offset points", color=SOFT, ha="right", fontsize=7.5,
            )  # fmt: skip
        axes.set_xlabel("seconds from a call's first slot to its answer")
        axes.set_ylabel("rows")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))

    return _drawn(draw, "Latencies of the answered rows", _WIDTH if narrow else 2 * _WIDTH)


def _times(moments: Sequence[Moment]) -> tuple[list[float], str]:
    """Return the times of moments in a common unit, and the unit's name."""
    total = moments[-1].worked
    seconds, unit = (
        (1, "seconds") if total < 180 else (60, "minutes") if total < 3 * 3600 else (3600, "hours")
    )
    return [moment.worked / seconds for moment in moments], unit


def _over_time(axes: Axes, moments: Sequence[Moment], times: Sequence[float], unit: str, ylabel: str) -> None:
    """Set the time axis of a chart, and mark the ends of runs."""
    axes.set_xlim(0, max(times) or 1.0)
    axes.set_xlabel(f"{unit} of work")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=_ROUND))
    runs = {moment.progress.run: moment.worked for moment in moments}
    scale = (max(times) or 1.0) / (moments[-1].worked or 1.0)
    for each in axes.figure.axes if 1 < len(runs) <= _MOST_RUNS else []:
        for ended_at in [*runs.values()][:-1]:
            each.axvline(ended_at * scale, color=SOFT, linewidth=0.7, linestyle=(0, (1, 2)))


def _mark(axes: Axes, height: float, text: str, colour: str) -> None:
    """Label a level at the left end of its line, where the falling curve is still high."""
    axes.annotate(
        text, (0, height), (3, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="bottom", color=colour, fontsize=8,
    )  # fmt: skip


def _drawn(draw: Callable[[Figure], None], label: str, width: float = _WIDTH) -> ET.Element:
    """Draw a chart and return its SVG element for an HTML page."""
    # The salt makes the ids of a chart its own, and those of the same report always the same.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"segmind_async {label} {width}"}):
        figure = Figure(figsize=(width, _HEIGHT))
        figure.patch.set_alpha(0)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    return _inlined(ET.fromstring(file.getvalue()), label)  # noqa: S314  # it was just drawn here


def _inlined(svg: ET.Element, label: str) -> ET.Element:
    """Make a drawing part of an HTML page: drop namespaces, its style sheet, and ids without references."""
    elements = [*svg.iter()]
    used = {element.get(_HREF, "").removeprefix("#") for element in elements}
    used |= {element.get("clip-path", "").removeprefix("url(#").removesuffix(")") for element in elements}
    for element in elements:
        for style in element.findall(f"{_SVG}style"):
            element.remove(style)
        element.tag = element.tag.removeprefix(_SVG)
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        if _HREF in element.attrib:
            element.set("href", element.attrib.pop(_HREF))
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "role": "img", "aria-label": label}
    return svg
