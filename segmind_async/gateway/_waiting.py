"""The clients of this library: what they name themselves, and how many calls of each wait here. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._text.wait_reasons import Wait
from .._wire.response_headers import ATTEMPT, CLIENT
from ..models import JsonDict
from ._budgets.amounts import plain

if TYPE_CHECKING:
    from .._sending.admission import CallScope

_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


def client_in(headers: Mapping[str, str]) -> str | None:
    """Return the id of the client that sends a request; None if it names none."""
    return _id_in(headers, CLIENT)


def attempt_in(headers: Mapping[str, str]) -> str | None:
    """Return the id of the attempt that a request is for its client; None if it names none."""
    return _id_in(headers, ATTEMPT)


def _id_in(headers: Mapping[str, str], name: str) -> str | None:
    named = headers.get(name, "")
    return named if _ID.fullmatch(named) else None


class ClientCalls:
    """The calls of each client that have not ended. An id is known to its client alone."""

    def __init__(self) -> None:
        self._scopes: dict[str, set[CallScope]] = {}

    @contextmanager
    def taken(self, client: str | None, scope: CallScope) -> Iterator[None]:
        """Count a call, the only one of its *scope*, within a `with` block; None: of another program."""
        if client is None:
            yield
            return
        scopes = self._scopes.setdefault(client, set())
        scopes.add(scope)
        try:
            yield
        finally:
            scopes.discard(scope)
            if not scopes:
                self._scopes.pop(client, None)

    def told(self, client: str, wait: Wait | None) -> JsonDict:
        """Return what a client is told of its calls; *wait* is what the gateway waits for."""
        waiting = sum(scope.in_flight == 0 for scope in self._scopes.get(client, ()))
        return {"waiting": waiting, "wait": None if wait is None else _written(wait)}


def _written(wait: Wait) -> JsonDict:
    money = {"available": wait.available, "needed": wait.needed}
    return {
        "reason": str(wait.reason),
        "lasted": wait.lasted,
        "left": wait.left,
        **{name: None if amount is None else plain(amount) for name, amount in money.items()},
    }
