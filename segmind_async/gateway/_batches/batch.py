"""A batch, its states, and the batch object of OpenAI's API. Pure.

Source: OpenAI's API reference, batches (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ...errors import redact
from ...models import JsonDict
from .._errors import GatewayError


class BatchStatus(StrEnum):
    """The state of a batch."""

    VALIDATING = "validating"
    FAILED = "failed"
    """Its file is not that of a batch, and nothing was sent; or the gateway could not write until its end."""
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    """Its output is being written."""
    COMPLETED = "completed"
    EXPIRED = "expired"
    """Its time ended before its rows did."""
    CANCELLING = "cancelling"
    """No more rows are sent; those in flight end."""
    CANCELLED = "cancelled"


_NEXT: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.VALIDATING: frozenset({BatchStatus.IN_PROGRESS, BatchStatus.FAILED, BatchStatus.CANCELLING}),
    BatchStatus.IN_PROGRESS: frozenset({BatchStatus.FINALIZING, BatchStatus.CANCELLING, BatchStatus.FAILED}),
    BatchStatus.FINALIZING: frozenset({BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.FAILED}),
    BatchStatus.CANCELLING: frozenset({BatchStatus.CANCELLED, BatchStatus.FAILED}),
}
"""The states that may follow each; none follows the others."""

_SHOWN_TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a batch has failed, or does not go on at present."""

    code: str
    message: str
    line: int | None = None
    """Line of the input, from 1; None: of none."""
    param: str | None = None

    def body(self) -> JsonDict:
        """Return the batch error of OpenAI's API."""
        # A message may quote a row, and somebody may have put a key there.
        return {"code": self.code, "message": redact(self.message), "line": self.line, "param": self.param}


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Rows of a batch: all, those that are answered, and those that have failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """What the caller of `POST /v1/batches` wants."""

    input_file_id: str
    endpoint: str
    window: int
    """Hours in which it is to end."""
    metadata: Mapping[str, str] | None = None
    output_expires_after: int | None = None
    """Seconds after which its output files expire; None: never."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of one caller."""

    id: str
    owner: str
    """Digest of the token of its caller."""
    budget: str | None
    """Name of the budget that its calls count in; None: of none."""
    order: BatchOrder
    created_at: float
    """Epoch seconds; the fraction keeps the order of a list."""
    status: BatchStatus = BatchStatus.VALIDATING
    times: Mapping[BatchStatus, int] = field(default_factory=dict)
    """When it came into each state, in epoch seconds."""
    counts: RequestCounts = RequestCounts()
    problems: tuple[Problem, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def expires_at(self) -> int:
        """When its time ends, in epoch seconds."""
        return int(self.created_at) + self.order.window * 3600

    @property
    def has_ended(self) -> bool:
        """Whether no state follows."""
        return self.status not in _NEXT

    @property
    def may_be_cancelled(self) -> bool:
        """Whether a cancel would change anything."""
        return BatchStatus.CANCELLING in _NEXT.get(self.status, ())

    def moved(self, status: BatchStatus, now: float) -> Batch:
        """Return it in the next state, at an epoch second; raises ValueError for one that does not follow."""
        if status not in _NEXT.get(self.status, ()):
            raise ValueError(f"a batch that is {self.status} does not become {status}")
        return replace(self, status=status, times={**self.times, status: int(now)})

    def body(self) -> JsonDict:
        """Return the batch object."""
        order, counts = self.order, self.counts
        errors = {"object": "list", "data": [one.body() for one in self.problems]} if self.problems else None
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": order.endpoint,
            "errors": errors,
            "input_file_id": order.input_file_id,
            "completion_window": f"{order.window}h",
            "status": str(self.status),
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created_at),
            "expires_at": self.expires_at,
            **{f"{name}_at": self.times.get(BatchStatus(name)) for name in _SHOWN_TIMES},
            "request_counts": {
                "total": counts.total,
                "completed": counts.completed,
                "failed": counts.failed,
            },
            "metadata": None if order.metadata is None else dict(order.metadata),
        }


def no_such_batch(id_: str) -> GatewayError:
    """Return the 404 for an id that is not a batch of the caller's."""
    return GatewayError(404, f"No batch found with id {id_[:80]!r}", param="batch_id", code="batch_not_found")
