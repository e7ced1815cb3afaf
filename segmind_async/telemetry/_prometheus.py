"""The figures of a client as metrics: their names, and their text in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Literal, TypeVar

from ..models import KeyStatistics, Statistics

S = TypeVar("S")

PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `prometheus_text` (Prometheus' documentation of exposition formats, 2026-08)."""


@dataclass(frozen=True, slots=True)
class Metric(Generic[S]):
    """One figure of `Statistics`, or of `KeyStatistics`, as a metric."""

    name: str
    """OpenTelemetry's; Prometheus has underscores, and the suffix, instead."""
    suffix: str
    """Unit in Prometheus' names, empty for plain numbers; `_total` for counters comes after it."""
    unit: str
    """OpenTelemetry's unit (UCUM)."""
    kind: Literal["gauge", "counter"]
    description: str
    read: Callable[[S], int | float | Decimal | None]
    """Returns the value; None while it is not known, or does not apply."""

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus' form, such as `segmind_cost_credits_total`."""
        unit = f"_{self.suffix}" if self.suffix else ""
        return self.name.replace(".", "_") + unit + ("_total" if self.kind == "counter" else "")


METRICS: tuple[Metric[Statistics], ...] = (
    Metric("segmind.in_flight", "", "{attempt}", "gauge", "Attempts in flight.", lambda s: s.in_flight),
    Metric("segmind.waiting", "", "{call}", "gauge", "Calls that wait to be sent.", lambda s: s.waiting),
    Metric("segmind.limit", "", "{attempt}", "gauge", "Limit of attempts in flight.", lambda s: s.limit),
    Metric(
        *("segmind.pace", "per_minute", "{attempt}/min", "gauge"),
        "Attempts that may start in a minute; absent without a limit.",
        lambda s: s.requests_per_minute,
    ),
    Metric(
        *("segmind.closed", "seconds", "s", "gauge"),
        "Time for which a 429 still stops all sending.",
        lambda s: s.closed_for,
    ),
    Metric(
        *("segmind.outage", "seconds", "s", "gauge"),
        "Time since when the service works for nobody; 0 while it works.",
        lambda s: s.outage or 0.0,
    ),
    Metric(
        *("segmind.rate_limited", "", "{response}", "counter"),
        "Responses with the status 429.",
        lambda s: s.rate_limited,
    ),
    Metric(
        *("segmind.balance", "credits", "{credit}", "gauge"),
        "Credits on the account as last known; absent while unknown.",
        lambda s: s.balance,
    ),
    Metric(
        *("segmind.floor", "credits", "{credit}", "gauge"),
        "Credits that this client leaves on the account.",
        lambda s: s.floor,
    ),
    Metric(
        *("segmind.held", "credits", "{credit}", "gauge"),
        "Credits reserved for attempts in flight or in doubt.",
        lambda s: s.held,
    ),
    Metric(
        *("segmind.estimate", "credits", "{credit}", "gauge"),
        "Credits that the next call of the default model is expected to cost.",
        lambda s: s.estimate,
    ),
    Metric(
        *("segmind.cost", "credits", "{credit}", "counter"),
        "Credits that this client's calls have cost.",
        lambda s: s.spent,
    ),
)
"""All figures, in the order in which they are written."""


KEY_METRICS: tuple[Metric[KeyStatistics], ...] = (
    Metric(
        *("segmind.key.in_use", "", "1", "gauge"),
        "Whether the key takes calls.",
        lambda k: int(k.takes_calls),
    ),
    Metric(
        *("segmind.key.in_flight", "", "{attempt}", "gauge"),
        "Attempts in flight with the key.",
        lambda k: k.in_flight,
    ),
    Metric(
        *("segmind.key.closed", "seconds", "s", "gauge"),
        "Time for which a 429 stops the key.",
        lambda k: k.closed_for,
    ),
    Metric(
        *("segmind.key.rate_limited", "", "{response}", "counter"),
        "Responses with the status 429.",
        lambda k: k.rate_limited,
    ),
    Metric(
        *("segmind.key.balance", "credits", "{credit}", "gauge"),
        "Credits on the account of the key.",
        lambda k: k.balance,
    ),
    Metric(
        *("segmind.key.held", "credits", "{credit}", "gauge"),
        "Credits reserved on the account.",
        lambda k: k.held,
    ),
    Metric(
        *("segmind.key.cost", "credits", "{credit}", "counter"),
        "Credits that calls with the key cost.",
        lambda k: k.spent,
    ),
)
"""Figures of each of several keys; the key is a label."""


def prometheus_text(statistics: Statistics, labels: Mapping[str, str] | None = None) -> str:
    """Return the figures of `client.statistics()` in Prometheus' text format, for an endpoint to answer.

    `labels` are put on each figure, to tell clients apart. Serve it as PROMETHEUS_CONTENT_TYPE. Figures that
    are not known are left out, as the format demands. With several keys those of each follow, with the label
    `key`.
    """
    lines: list[str] = []
    for metric in METRICS:
        lines += _lines(metric, [(statistics, labels or {})])
    of_keys = [(key, {**(labels or {}), "key": key.name}) for key in statistics.keys]
    for key_metric in KEY_METRICS if of_keys else ():
        lines += _lines(key_metric, of_keys)
    return "\n".join((*lines, ""))


def _lines(metric: Metric[S], sources: Iterable[tuple[S, Mapping[str, str]]]) -> list[str]:
    """Return the lines of a metric, with a value for each source and its labels; none without a value."""
    name = metric.prometheus_name
    values = [
        f"{name}{_labels(labels)} {_number(value)}"
        for source, labels in sources
        if (value := metric.read(source)) is not None
    ]
    if not values:
        return []
    return [f"# HELP {name} {metric.description}", f"# TYPE {name} {metric.kind}", *values]


def _labels(given: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in given.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float | Decimal) -> str:
    """Return a number without an exponent, if it is an amount."""
    return format(value, "f") if isinstance(value, Decimal) else repr(value)
