"""What a changed setting means for a job with finished rows. Pure: it neither waits nor does any IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

JobSettings: TypeAlias = Mapping[str, object]
"""Settings of a job by name: what makes its requests, as JSON."""

Changes: TypeAlias = Mapping[str, "tuple[object, object]"]
"""Settings that differ, by name: the value before, and the value now."""

ALWAYS_FREE = frozenset({"max_tokens", "parameters"})
"""Settings that a job may change at any time: its finished rows stay, the others follow the new ones."""

NEVER_FREE = frozenset({"emulate", "delivery", "dedupe"})
"""Settings that a job with paid rows may never change. An answer of the emulator must not pass for one of the
service; a queued request could not be fetched; and rows would not be recognised."""


def changes(before: JobSettings, now: JobSettings) -> Changes:
    """Return the settings that differ; one that only one side has was off on the other."""
    return {
        name: (before.get(name), now.get(name))
        for name in sorted(before.keys() | now.keys())
        if (before.get(name) or None) != (json.loads(json.dumps(now.get(name))) or None)
    }


def may_change(changed: Changes, *, paid: bool, keep_finished: bool, dedupe: bool) -> bool:
    """Return whether a job goes on with other settings: *paid* if it has answers, or may have.

    Rows of a *dedupe* job are recognised by their requests alone, which other settings make anew.
    """
    names = changed.keys()
    if not paid:
        return True
    return not dedupe and (names <= ALWAYS_FREE or (keep_finished and not names & NEVER_FREE))
