"""What a client and all derived from it have in common: one service, limits within limits, an end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Self

from ._money.units import ceil_units, to_decimal
from ._sending.admission import CallScope
from ._sending.call import CallOptions
from ._sending.queue import Priority
from ._sending.service import Service
from .config import (
    Limits,
    check_amount,
    check_choice,
    check_count,
)
from .errors import ClientClosedError
from .models import Statistics


@dataclass(slots=True)
class _Lifetime:
    closed: bool = False


class ScopedClient:
    """A client's place in its family. It sends nothing."""

    def __init__(self, service: Service, limits: Limits, base_url: str, options: CallOptions) -> None:
        self._service = service
        self._limits = limits
        self._base_url = base_url
        self._options = options
        self._lifetime = _Lifetime()
        self._ancestors: tuple[_Lifetime, ...] = ()

    def __repr__(self) -> str:
        state = "closed" if self.closed else repr(self._service.admission)
        return f"SegmindClient({self._base_url!r}, model={self._options.model!r}, {state})"

    def __reduce__(self) -> str:
        raise TypeError("a SegmindClient holds a key and connections; make one in each process")

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def closed(self) -> bool:
        """Whether this client, or one it was derived from, was closed."""
        return self._lifetime.closed or any(lifetime.closed for lifetime in self._ancestors)

    async def aclose(self) -> None:
        """Close this client; a derived one leaves the connections to the one it came from. Idempotent."""
        self._lifetime.closed = True
        if not self._ancestors:
            await self._service.transport.aclose()

    def statistics(self) -> Statistics:
        """Return a snapshot of what is in flight, who waits, and which limit is in force for which reason."""
        return self._service.admission.statistics(self._service.estimates.of(self._options.model))

    def _derived(self, options: CallOptions) -> Self:
        client = object.__new__(type(self))
        ScopedClient.__init__(client, self._service, self._limits, self._base_url, options)
        client._ancestors = (*self._ancestors, self._lifetime)
        return client

    def _scope(
        self,
        max_credits: Decimal | float | None,
        floor: Decimal | float,
        max_in_flight: int | None,
        priority: Priority | None,
        *,
        own_budget: bool = False,
    ) -> CallScope:
        """Return a scope within this client's; raises ConfigurationError for an invalid limit.

        *own_budget*: see `Admission.scope`.
        """
        if max_credits is not None:
            check_amount("max_credits", max_credits)
        check_amount("floor", floor)
        if max_in_flight is not None:
            check_count("max_in_flight", max_in_flight, at_least=1)
        if priority is not None:
            check_choice("priority", priority, ("interactive", "bulk"))
        return self._service.admission.scope(
            self._options.scope,
            cap=None if max_credits is None else ceil_units(to_decimal(max_credits)),
            floor=ceil_units(to_decimal(floor)),
            max_in_flight=max_in_flight,
            priority=priority,
            own_budget=own_budget,
        )

    def _workers(self, scope: CallScope) -> int:
        caps = [level.max_in_flight for level in scope.line if level.max_in_flight is not None]
        return min([self._limits.max_in_flight, *caps])

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("this client is closed; open a new one")
