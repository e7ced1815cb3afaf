"""Queued inference, `/v2`: submissions, their status, and how long results are kept. Pure."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from . import Json
from .service_state import Running, Settled

Respond: TypeAlias = Callable[["Submitted", float], tuple[int, Json]]


@dataclass(slots=True)
class Submitted:
    """One submission."""

    id: str
    running: Running
    queue_time: float
    body: Json | None
    """The provider's JSON; None if the run fails."""
    ended: bool = False
    settled: Settled | None = None

    def state(self, now: float) -> str:
        """Return the status at *now*."""
        if self.ended:
            return "FAILED" if self.body is None else "COMPLETED"
        return "QUEUED" if now < self.running.started_at + self.queue_time else "PROCESSING"


class SubmissionStore:
    """Submissions by id, each kept for *ttl* seconds after its end."""

    def __init__(self, seed: int, ttl: float) -> None:
        self._ttl = ttl
        self._chance = random.Random(seed)
        self._kept: dict[str, Submitted] = {}

    def submit(self, running: Running, body: Json | None, queue_time: float) -> Submitted:
        """Store a new submission under a random id."""
        name = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        self._kept[name] = Submitted(name, running, queue_time, body)
        return self._kept[name]

    def find(self, name: str, now: float) -> Submitted | None:
        """Return a submission; None if the id is unknown or has expired."""
        found = self._kept.get(name)
        if found is None:
            return None
        ended = found.running.finish_at + found.queue_time
        return found if now <= ended + self._ttl else None


def receipt(origin: str, submitted: Submitted) -> Json:
    """Return the body that answers a submission."""
    here = f"{origin}/v2/requests/{submitted.id}"
    return {
        "request_id": submitted.id,
        "status": "QUEUED",
        "poll_url": here,
        "status_url": f"{here}/status",
        "response_url": here,
    }


def status_of(submitted: Submitted, now: float) -> tuple[int, Json]:
    """Return status code and body of a status poll."""
    state = submitted.state(now)
    body: Json = {"request_id": submitted.id, "status": state}
    if state == "FAILED":
        return 422, {**body, "error": "Model execution failed"}
    return 200, body


def result_of(submitted: Submitted, now: float) -> tuple[int, Json]:
    """Return status code and body of a result; those of the status until there is one."""
    code, body = status_of(submitted, now)
    settled = submitted.settled
    if settled is None:
        return code, body
    return 200, {
        **body,
        "error": None,
        # For chat the provider's JSON comes as a string inside the JSON.
        "output": json.dumps(submitted.body),
        "metrics": {
            "cost": float(settled.cost),
            "remaining_credits": float(settled.balance),
            "inference_time": submitted.running.latency,
            "queue_time": submitted.queue_time,
            "total_time": settled.seconds,
        },
    }
