"""The figures of a client as metrics: their names, and their text in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from ..models import Statistics

PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `prometheus_text` (Prometheus' documentation of exposition formats, 2026-08)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of `Statistics` as a metric."""

    name: str
    """OpenTelemetry's; Prometheus has underscores, and the suffix, instead."""
    suffix: str
    """Unit in Prometheus' names, empty for plain numbers; `_total` for counters comes after it."""
    unit: str
    """OpenTelemetry's unit (UCUM)."""
    kind: Literal["gauge", "counter"]
    description: str
    read: Callable[[Statistics], int | float | Decimal | None]
    """Returns the value; None while it is not known, or does not apply."""

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus' form, such as `segmind_cost_credits_total`."""
        unit = f"_{self.suffix}" if self.suffix else ""
        return self.name.replace(".", "_") + unit + ("_total" if self.kind == "counter" else "")


METRICS: tuple[Metric, ...] = (
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


def prometheus_text(statistics: Statistics, labels: Mapping[str, str] | None = None) -> str:
    """Return the figures of `client.statistics()` in Prometheus' text format, for an endpoint to answer.

    `labels` are put on each figure, to tell clients apart. Serve it as PROMETHEUS_CONTENT_TYPE. Figures that
    are not known are left out, as the format demands.
    """
    given = ",".join(f'{name}="{_escaped(value)}"' for name, value in (labels or {}).items())
    lines: list[str] = []
    for metric in METRICS:
        value = metric.read(statistics)
        if value is not None:
            name = metric.prometheus_name
            lines += (
                f"# HELP {name} {metric.description}",
                f"# TYPE {name} {metric.kind}",
                f"{name}{{{given}}} {_number(value)}" if given else f"{name} {_number(value)}",
            )
    return "\n".join((*lines, ""))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float | Decimal) -> str:
    """Return a number without an exponent, if it is an amount."""
    return format(value, "f") if isinstance(value, Decimal) else repr(value)
