"""Settings: frozen, checked at construction, picklable. They know nothing of what they steer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from .errors import ConfigurationError

MIB = 1024 * 1024


def check_amount(name: str, value: object, *, at_least: float = 0.0, above: bool = False) -> None:
    """Refuse what is no finite number from *at_least* (or *above* it) upwards, naming the argument."""
    fine = (
        isinstance(value, int | float | Decimal)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > at_least if above else value >= at_least)
    )
    if not fine:
        bound = f"above {at_least:g}" if above else f"of at least {at_least:g}"
        raise ConfigurationError(f"{name}={value!r} must be a finite number {bound}")


def check_count(name: str, value: object, *, at_least: int = 0) -> None:
    """Refuse what is no whole number from *at_least* upwards, naming the argument."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least {at_least}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of *choices*, naming the argument."""
    if value not in choices:
        raise ConfigurationError(f"{name}={value!r} must be one of {', '.join(map(repr, choices))}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, how fast, and how much money must stay."""

    max_in_flight: int = 64
    """Attempts on the wire at once, over everything that shares this client. 64 fills the published
    1000 calls a minute at the 4 s that a short answer takes."""
    requests_per_minute: float | None = None
    """Starts in any 60 s. None: found out from the service's 429 answers."""
    floor: Decimal | float = 0
    """Credits that must stay on the account; a fan-out may raise it for itself."""
    first_cost: Decimal | float | None = None
    """Credits to expect of a call before any has finished. None: the published mean of its model."""
    max_response_bytes: int = 32 * MIB
    """A longer answer is an error. 128 000 tokens are about 0.6 MB."""

    def __post_init__(self) -> None:
        check_count("max_in_flight", self.max_in_flight, at_least=1)
        if self.requests_per_minute is not None:
            check_amount("requests_per_minute", self.requests_per_minute, above=True)
        check_amount("floor", self.floor)
        if self.first_cost is not None:
            check_amount("first_cost", self.first_cost, above=True)
        check_count("max_response_bytes", self.max_response_bytes, at_least=1024)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. None: no bound of this kind."""

    total: float | None = 600.0
    """One call with all its attempts and the waits between them, from its first slot."""
    attempt: float | None = 120.0
    """One HTTP request, from sending to the last byte. The slowest published mean is 67 s."""
    connect: float | None = 10.0
    """Opening a connection, TLS included."""
    idle: float | None = 60.0
    """Silence while an answer's body is being read. The wait for its first byte is part of *attempt*:
    the service sends nothing until the model is done."""
    queue: float | None = None
    """Waiting for the first slot."""

    def __post_init__(self) -> None:
        for name in ("total", "attempt", "connect", "idle", "queue"):
            value = getattr(self, name)
            if value is not None:
                check_amount(name, value, above=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What is sent again, how often, and how long it waits before."""

    retries: int = 3
    """Attempts after the first one. A 429 does not count: it says nothing about the call."""
    server_error_retries: int = 1
    """How many of them may follow a 500: after a change of the request that usually is a bad parameter."""
    resend_in_doubt: int = 1
    """How many of them may follow an attempt that may have been billed although its answer was lost.
    0: never pay twice, and report such calls as failed."""
    base: float = 0.5
    """Upper end of the first wait, seconds; it doubles with every attempt."""
    cap: float = 8.0
    """Upper end of every wait, seconds."""
    max_retry_after: float = 120.0
    """A server that asks to wait longer gets its call failed at once, with `retry_after` set."""

    def __post_init__(self) -> None:
        check_count("retries", self.retries)
        check_count("server_error_retries", self.server_error_retries)
        check_count("resend_in_doubt", self.resend_in_doubt)
        check_amount("base", self.base)
        check_amount("cap", self.cap)
        check_amount("max_retry_after", self.max_retry_after)
