"""Ids of queued requests in a journal: kept before all else, and taken up again after a crash."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict, deque

from ..._transport.base import WireRequest
from .journal import Journal
from .writer import wait_for


class JournaledSubmissions:
    """Keeps ids by what was asked: of equal requests any answer will do."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unfinished: dict[bytes, deque[str]] = defaultdict(deque)
        self._earlier: set[str] = set()
        self.recovered = 0
        """Ids of an earlier run whose answers were fetched, or are being waited for."""
        self.resubmitted = 0
        """Those of them that the service no longer knew: their requests may have been paid twice."""

    def __repr__(self) -> str:
        return f"JournaledSubmissions({sum(map(len, self._unfinished.values()))} unfinished)"

    async def load(self) -> None:
        """Find what an earlier run has submitted and not seen the end of."""
        for request, digest, _ in await wait_for(self._journal.submissions()):
            self._unfinished[digest].append(request)
            self._earlier.add(request)

    def take(self, request: WireRequest) -> str | None:
        """Return an id of this same request that nobody waits for, None if there is none; each one once."""
        if not self._unfinished:
            return None
        ids = self._unfinished.get(_digest(request))
        if not ids:
            return None
        taken = ids.popleft()
        self.recovered += taken in self._earlier
        return taken

    def put_back(self, request: WireRequest, id: str) -> None:
        """Leave an id, whose work goes on, to whoever asks the same next."""
        self._unfinished[_digest(request)].append(id)

    async def keep(self, request: WireRequest, id: str) -> None:
        """Have an id on the disk when this returns."""
        await self._journal.submitted(id, _digest(request), time.time())  # noqa: TID251  # over runs

    def expired(self, id: str) -> None:
        """Strike out an id that the service no longer knows."""
        self.resubmitted += id in self._earlier
        self._journal.forget_submission(id)

    def failed(self, id: str) -> None:
        """Strike out an id whose work has failed."""
        self._journal.forget_submission(id)


def _digest(request: WireRequest) -> bytes:
    return hashlib.sha256(request.path.encode() + b"\n" + (request.body or b"")).digest()[:16]
