"""What a report says of the rows, added up while they are read one after the other."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal

from ..._money.units import credits_of
from ..._sending.histogram import Histogram
from ...models import Status
from ..journal.record import Record
from .samples import Samples
from .scores import Judge


class Aggregates:
    """Sums over rows, and samples of them."""

    def __init__(self, settings: dict[str, object], sampled_at: float = math.inf) -> None:
        labels = settings.get("labels")
        self.judge = Judge([str(label) for label in labels] if isinstance(labels, list) else [])
        self.samples = Samples()
        self.counts = Counter({Status.OK.value: 0, Status.FAILED.value: 0})
        self.latency = Histogram()
        self.units = 0
        self.priced = 0
        self.times: list[float] = []
        """When the first and the last row ended, by the clock of the machine; empty before."""
        self.since = 0
        """Rows that ended after the last sample."""
        self._sampled_at = sampled_at

    def __repr__(self) -> str:
        return f"Aggregates({dict(self.counts)})"

    @property
    def mean_cost(self) -> Decimal | None:
        """Credits of a row; None if none has a known cost."""
        return credits_of(self.units // self.priced) if self.priced else None

    def add(self, record: Record) -> None:
        """Take in a row."""
        self.counts[record.status] += 1
        self.samples.add(record)
        self.judge.add(record)
        self.since += record.at > self._sampled_at
        self.times = (
            [min(self.times[0], record.at), max(self.times[1], record.at)] if self.times else [record.at] * 2
        )
        if record.units is not None:
            self.units += record.units
            self.priced += 1
        if record.seconds is not None and record.status == Status.OK:
            self.latency.add(record.seconds)
