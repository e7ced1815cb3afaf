"""Calls the hooks of a client, and the log.

Which methods are overridden is found once. An event that neither a hook nor the log receives need not be
made: the `wants_…` methods tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

from .._text.wait_reasons import Wait
from ..errors import ConfigurationError
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
from .log import LOG, LogHooks

T = TypeVar("T")


class HookDispatcher:
    """The hooks of one client and all derived from it, the log among them."""

    def __init__(self, hooks: Iterable[Hooks] = ()) -> None:
        """Find the overridden methods; raises ConfigurationError for what is not an instance of `Hooks`."""
        chosen = tuple(hooks)
        for hook in chosen:
            if not isinstance(hook, Hooks):
                raise ConfigurationError(f"hooks={hook!r} must hold instances of segmind_async.Hooks")
        self._log = LogHooks()
        self._call_started = _overridden(chosen, "call_started")
        self._call_ended = _overridden(chosen, "call_ended")
        self._attempt_ended = _overridden(chosen, "attempt_ended")
        self._retry_planned = _overridden(chosen, "retry_planned")
        self._balance_seen = _overridden(chosen, "balance_seen")
        self._changed = _overridden(chosen, "changed")
        self._agent_started = _overridden(chosen, "agent_started")
        self._agent_ended = _overridden(chosen, "agent_ended")
        self._tool_started = _overridden(chosen, "tool_started")
        self._tool_ended = _overridden(chosen, "tool_ended")
        self._hears_agents = bool(
            self._agent_started or self._agent_ended or self._tool_started or self._tool_ended
        )
        self._waiting = _overridden(chosen, "waiting")
        self._call_ids = count(1)
        self._run_ids = count(1)
        self._tool_ids = count(1)
        self._hears_calls = bool(self._call_started or self._call_ended)
        self._hears_attempts = bool(self._attempt_ended or self._balance_seen)

    def __repr__(self) -> str:
        return f"HookDispatcher(calls={self._hears_calls}, attempts={self._hears_attempts})"

    def new_call_id(self) -> int:
        """Return the number of the next call that is reported, from 1."""
        return next(self._call_ids)

    def new_run_id(self) -> int:
        """Return the number of the next run of an agent, from 1."""
        return next(self._run_ids)

    def new_tool_id(self) -> int:
        """Return the number of the next run of a tool, from 1."""
        return next(self._tool_ids)

    def wants_calls_or_attempts(self) -> bool:
        """Return whether the start or end of a call, or the end of an attempt, is received."""
        return self._hears_calls or self.wants_attempts()

    def wants_attempts(self) -> bool:
        """Return whether the end of an attempt, or a balance that comes with it, is received."""
        return self._hears_attempts or LOG.isEnabledFor(logging.DEBUG)

    def wants_retries(self) -> bool:
        """Return whether a planned retry is received."""
        return bool(self._retry_planned) or LOG.isEnabledFor(logging.INFO)

    def wants_balances(self) -> bool:
        """Return whether a balance is received."""
        return bool(self._balance_seen) or LOG.isEnabledFor(logging.DEBUG)

    def wants_agents(self) -> bool:
        """Return whether the start or end of an agent's run or of a tool is received."""
        return self._hears_agents

    def wants_changes(self) -> bool:
        """Return whether a change is received; the same for the life of a client."""
        return bool(self._changed)

    def call_started(self, event: CallStarted) -> None:
        """Report that a call has started."""
        _call(self._call_started, event)

    def call_ended(self, event: CallEnded) -> None:
        """Report that a call has ended."""
        self._log.call_ended(event)
        _call(self._call_ended, event)

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Report that an attempt has ended."""
        self._log.attempt_ended(event)
        _call(self._attempt_ended, event)

    def retry_planned(self, event: RetryPlanned) -> None:
        """Report that a call will be sent again."""
        self._log.retry_planned(event)
        _call(self._retry_planned, event)

    def balance_seen(self, event: BalanceSeen) -> None:
        """Report a balance."""
        self._log.balance_seen(event)
        _call(self._balance_seen, event)

    def agent_started(self, event: AgentStarted) -> None:
        """Report that a run of an agent begins."""
        _call(self._agent_started, event)

    def agent_ended(self, event: AgentEnded) -> None:
        """Report that a run of an agent has ended."""
        _call(self._agent_ended, event)

    def tool_started(self, event: ToolStarted) -> None:
        """Report that a tool is about to run."""
        _call(self._tool_started, event)

    def tool_ended(self, event: ToolEnded) -> None:
        """Report that a tool has ended."""
        _call(self._tool_ended, event)

    def changed(self, event: Change) -> None:
        """Report a change."""
        _call(self._changed, event)

    def waiting(self, wait: Wait) -> None:
        """Report what all calls wait for."""
        event = Waiting(wait)
        self._log.waiting(event)
        _call(self._waiting, event)


def _overridden(hooks: Iterable[Hooks], name: str) -> tuple[Callable[[Any], None], ...]:
    base = getattr(Hooks, name)
    return tuple(getattr(hook, name) for hook in hooks if getattr(type(hook), name) is not base)


def _call(methods: Iterable[Callable[[T], None]], event: T) -> None:
    """Call methods of hooks; an exception is logged, and costs neither the call nor the other hooks."""
    for method in methods:
        try:
            method(event)
        except Exception:  # noqa: BLE001  # whatever a user wrote
            LOG.exception(
                "hook failed", extra={"hook": getattr(method, "__qualname__", type(method).__name__)}
            )
