"""The last errors that callers were told, those that differ in numbers alone as one. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..._text.escaping import one_line
from ...errors import redact
from .._errors import GatewayError

MOST = 20
"""Different errors that are kept."""

_MOST_TEXT = 300
"""Characters of a message."""

_MOST_NAME = 80
"""Characters of a model or path."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")

_Key: TypeAlias = tuple[int, str, str, str, str | None]


@dataclass(slots=True)
class RecentError:
    """An error, and how often it came. Its texts are short, of one line, and without keys."""

    status: int
    code: str
    """Its `code`, else its `type`."""
    message: str
    about: str
    """The model of the call, else method and path of the request."""
    budget: str | None
    """Whose call it was; None: in no budget."""
    count: int = 0
    at: float = 0.0
    """Epoch seconds of the last time."""


class RecentErrors:
    """Keeps the errors that came last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, RecentError] = OrderedDict()

    def add(self, problem: GatewayError, path: str, budget: str | None, at: float) -> None:
        """Note what a caller was told at *at* (epoch seconds) of a request to *path* (with its method)."""
        found = RecentError(
            problem.status,
            _short(problem.code or problem.type, _MOST_NAME),
            _short(problem.message, _MOST_TEXT),
            _short(problem.model or path, _MOST_NAME),
            budget,
        )
        # Amounts and times in a message make no other error of it.
        key = (found.status, found.code, _NUMBER.sub("0", found.message), found.about, budget)
        known = self._kept.setdefault(key, found)
        known.count += 1
        known.at = at
        known.message = found.message
        self._kept.move_to_end(key)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def add_stranger(self, problem: GatewayError, at: float) -> None:
        """Note that a caller without access was refused.

        It chooses nothing of what is shown, so it cannot fill the list with errors that differ.
        """
        told = GatewayError(
            problem.status, "a request without access was refused", problem.type, problem.code
        )
        self.add(told, "no access", None, at)

    def latest(self) -> Sequence[RecentError]:
        """Return them as they are now, the last one first."""
        return [replace(one) for one in reversed(self._kept.values())]


def _short(text: str, most: int) -> str:
    # First the keys: half of one would not be known for one. A message may be as long as an answer.
    shown = one_line(redact(text)[: 4 * most])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
