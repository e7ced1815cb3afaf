"""The run of an agent around a call: its number, for the events of hooks."""

from __future__ import annotations

from contextvars import ContextVar

CURRENT_RUN: ContextVar[int | None] = ContextVar("segmind_async_agent_run", default=None)
"""Number of the run whose step is being taken; None outside of any, and inside of tools."""
