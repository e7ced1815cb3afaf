"""Passing over the beginning of an input: what was there before in the same order, and is finished.

Each row of it would be found in the journal. Comparing 64 at once takes a fraction of that, so that a job
with a million finished rows goes on within seconds. From the first difference on, rows are looked at one by
one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from anyio.lowlevel import checkpoint

from .journal.journal import Journal
from .journal.stretches import Noted, Stretch
from .journal.writer import of
from .report.tally import INVALID_ROW
from .row_keys import fingerprint_of
from .rows import Row

_AHEAD = 16
"""Stretches that are read from the journal together."""


class Passing:
    """One pass over an input, a stretch at a time.

    *again* tells of a class of errors whether rows that failed with it are asked again. With *look* rows
    are looked at one by one in any case.
    """

    def __init__(self, journal: Journal, again: Callable[[str], bool], *, look: bool) -> None:
        self._journal = journal
        self._again = again
        self._look = look
        self._first = 0
        self._ahead: deque[Noted] = deque()
        self._on = True

    def __repr__(self) -> str:
        return f"Passing(row={self._first}, {'passing' if self._on else 'looking'})"

    async def stretch_of(self, rows: Sequence[Row]) -> Noted | Stretch:
        """Return the stretch of the next *rows*: what was noted of it if it is passed over, or a new one."""
        first, fingerprint = self._first, fingerprint_of(rows, self._first)
        self._first += len(rows)
        if self._on:
            noted = await self._noted(first)
            if noted is not None and noted.fingerprint == fingerprint and self._is_done(noted):
                # Very many may follow one another, and others want the loop too.
                await checkpoint()
                return noted
            self._on = False
            await of(self._journal.pass_over(first))
        return Stretch(first, fingerprint, left=len(rows))

    async def _noted(self, first: int) -> Noted | None:
        if not self._ahead:
            ahead = await of(self._journal.noted_stretches(first, _AHEAD))
            self._ahead.extend(ahead)
        return self._ahead.popleft() if self._ahead else None

    def _is_done(self, noted: Noted) -> bool:
        return not self._look and not any(map(self._again, noted.tally.errors.keys() - {INVALID_ROW}))
