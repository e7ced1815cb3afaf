"""Ids of queued requests in a journal, written at once, and fetched after a crash."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict, deque

from ..._transport.base import WireRequest
from .commit_thread import wait_for
from .journal import Journal


class JournaledSubmissions:
    """Ids by digest of the request: equal requests share their answers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unfinished: dict[bytes, deque[str]] = defaultdict(deque)
        self._earlier: set[str] = set()
        self.recovered = 0
        """Ids of an earlier run whose answers were fetched, or are awaited."""
        self.resubmitted = 0
        """Those of them that the service no longer knew: their requests may be paid twice."""

    def __repr__(self) -> str:
        return f"JournaledSubmissions({sum(map(len, self._unfinished.values()))} unfinished)"

    async def load(self) -> None:
        """Load the submissions of earlier runs that have no answer."""
        for request, digest, _ in await wait_for(self._journal.submissions()):
            self._unfinished[digest].append(request)
            self._earlier.add(request)

    def take(self, request: WireRequest) -> str | None:
        """Return an id of an equal request that no call awaits, each one once; None if there is none."""
        if not self._unfinished:
            return None
        ids = self._unfinished.get(_digest(request))
        if not ids:
            return None
        taken = ids.popleft()
        self.recovered += taken in self._earlier
        return taken

    def put_back(self, request: WireRequest, id: str) -> None:
        """Give an id back whose work continues, for the next equal request."""
        self._unfinished[_digest(request)].append(id)

    async def keep(self, request: WireRequest, id: str) -> None:
        """Write an id; it is on the disk when this returns."""
        await self._journal.submitted(id, _digest(request), time.time())  # noqa: TID251  # over runs

    def expired(self, id: str) -> None:
        """Delete an id that the service no longer knows."""
        self.resubmitted += id in self._earlier
        self._journal.forget_submission(id)

    def failed(self, id: str) -> None:
        """Delete an id whose work has failed."""
        self._journal.forget_submission(id)


def _digest(request: WireRequest) -> bytes:
    return hashlib.sha256(request.path.encode() + b"\n" + (request.body or b"")).digest()[:16]
