"""Hooks that keep what they receive, for tests."""

from __future__ import annotations

from typing import TypeAlias, TypeVar

from ..hooks import (
    AgentEnded,
    AgentStarted,
    AttemptEnded,
    BalanceSeen,
    CallEnded,
    CallStarted,
    Change,
    Hooks,
    RetryPlanned,
    ToolEnded,
    ToolStarted,
    Waiting,
)

Event: TypeAlias = (
    CallStarted
    | CallEnded
    | AttemptEnded
    | RetryPlanned
    | BalanceSeen
    | Change
    | AgentStarted
    | AgentEnded
    | ToolStarted
    | ToolEnded
    | Waiting
)

E = TypeVar("E", bound=Event)


class RecordingHooks(Hooks):
    """Keeps every event in order in `events`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __repr__(self) -> str:
        return f"RecordingHooks({len(self.events)} events)"

    def of(self, event_type: type[E]) -> list[E]:
        """Return the events of one type, in order."""
        return [event for event in self.events if isinstance(event, event_type)]

    def call_started(self, event: CallStarted) -> None:
        """Keep it."""
        self.events.append(event)

    def call_ended(self, event: CallEnded) -> None:
        """Keep it."""
        self.events.append(event)

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Keep it."""
        self.events.append(event)

    def retry_planned(self, event: RetryPlanned) -> None:
        """Keep it."""
        self.events.append(event)

    def balance_seen(self, event: BalanceSeen) -> None:
        """Keep it."""
        self.events.append(event)

    def changed(self, event: Change) -> None:
        """Keep it."""
        self.events.append(event)

    def agent_started(self, event: AgentStarted) -> None:
        """Keep it."""
        self.events.append(event)

    def agent_ended(self, event: AgentEnded) -> None:
        """Keep it."""
        self.events.append(event)

    def tool_started(self, event: ToolStarted) -> None:
        """Keep it."""
        self.events.append(event)

    def tool_ended(self, event: ToolEnded) -> None:
        """Keep it."""
        self.events.append(event)

    def waiting(self, event: Waiting) -> None:
        """Keep it."""
        self.events.append(event)
