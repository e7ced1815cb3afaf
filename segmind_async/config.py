"""Settings of a client: frozen, validated at construction, picklable."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from .errors import ConfigurationError

MIB = 1024 * 1024


def check_amount(name: str, value: object, *, at_least: float = 0.0, above: bool = False) -> None:
    """Raise ConfigurationError unless *value* is a finite number of at least (or *above*) *at_least*."""
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
    """Raise ConfigurationError unless *value* is a whole number of at least *at_least*."""
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least {at_least}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ConfigurationError unless *value* is one of *choices*."""
    if value not in choices:
        raise ConfigurationError(f"{name}={value!r} must be one of {', '.join(map(repr, choices))}")


def _switch(name: str, text: str) -> bool:
    if text.strip().lower() not in ("", "0", "1", "true", "false"):
        raise ConfigurationError(f"{name}={text[:40]!r} must be 1 or 0")
    return text.strip().lower() in ("1", "true")


def split_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a text, which are separated by commas or line breaks."""
    return tuple(key.strip() for line in text.splitlines() for key in line.split(",") if key.strip())


def check_separated(name: str, keys: Sequence[str]) -> None:
    """Raise ConfigurationError, which quotes none, if *keys* from *name* hold what belongs to no key.

    Semicolons instead of commas, or quotation marks, make another key, which the service refuses much later.
    """
    for place, key in enumerate(keys, start=1):
        if any(mark in key for mark in ";'\""):
            raise ConfigurationError(
                f"{name}: key {place} of {len(keys)}, {len(key)} characters long, holds a semicolon or a "
                "quotation mark; separate keys by commas, without quotation marks"
            )


@dataclass(frozen=True, slots=True)
class Environment:
    """What a client takes from environment variables where its arguments leave it open; None: not set."""

    api_key: str | None = field(default=None, repr=False)
    """`SEGMIND_API_KEY`."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """`SEGMIND_API_KEYS`, separated by commas; it comes before the single one."""
    base_url: str | None = None
    """`SEGMIND_BASE_URL`."""
    transport: str | None = None
    """`SEGMIND_TRANSPORT`."""
    proxy: str | None = field(default=None, repr=False)
    """`SEGMIND_PROXY`; it may hold a password."""
    gateway: bool = False
    """`SEGMIND_GATEWAY`: whether `base_url` is a gateway, which a program may be started before."""
    gateway_budget: str | None = None
    """`SEGMIND_GATEWAY_BUDGET`: the gateway's budget that calls count in."""

    @classmethod
    def read(cls) -> Environment:
        """Read the variables; an empty one counts as not set, but for the key.

        Raises ConfigurationError for a value that does not say yes or no where one must.
        """
        found = os.environ.get
        return cls(
            found("SEGMIND_API_KEY"),
            split_keys(found("SEGMIND_API_KEYS", "")),
            found("SEGMIND_BASE_URL") or None,
            found("SEGMIND_TRANSPORT") or None,
            found("SEGMIND_PROXY") or None,
            _switch("SEGMIND_GATEWAY", found("SEGMIND_GATEWAY", "")),
            found("SEGMIND_GATEWAY_BUDGET") or None,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of concurrency, rate, credits and response size."""

    max_in_flight: int = 64
    """Attempts in flight at once, over all clients derived from this one. 64 attempts of 4 s each, as a
    short answer takes, make the published 1000 calls a minute."""
    requests_per_minute: float | None = None
    """Starts in any 60 s. None: learnt from 429 responses of the service."""
    floor: Decimal | float = 0
    """Credits that must remain on the account; a fan-out may set a higher floor for itself."""
    first_cost: Decimal | float | None = None
    """Expected credits of a call before any has finished. None: the published mean cost of its model."""
    max_response_bytes: int = 32 * MIB
    """A longer response body is an error. 128 000 tokens are about 0.6 MB."""

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
    """Timeouts in seconds; None: no limit of this kind."""

    total: float | None = 600.0
    """A call with all its attempts and the waits between them, from its first slot."""
    attempt: float | None = 120.0
    """One HTTP request, from sending to the last byte. The slowest published mean is 67 s."""
    connect: float | None = 10.0
    """Opening a connection, TLS included."""
    idle: float | None = 60.0
    """Silence while a response body is being read. The wait for its first byte is part of *attempt*:
    the service sends nothing until the model has finished."""
    queue: float | None = None
    """Waiting for the first slot."""

    def __post_init__(self) -> None:
        for name in ("total", "attempt", "connect", "idle", "queue"):
            value = getattr(self, name)
            if value is not None:
                check_amount(name, value, above=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often failed attempts are retried, and how long a call waits before each."""

    retries: int = 3
    """Attempts after the first one. A 429 does not count: it is not caused by the call."""
    server_error_retries: int = 1
    """How many of them may follow a 500, which is often caused by a bad parameter of the request."""
    resend_in_doubt: int = 1
    """How many of them may follow an attempt that may have been billed although its answer was lost.
    0: never pay twice; such calls fail."""
    base: float = 0.5
    """Upper end of the first wait, seconds; it doubles with every attempt."""
    cap: float = 8.0
    """Upper end of every wait, seconds."""
    max_retry_after: float = 120.0
    """If the server asks to wait longer, the call fails at once, with `retry_after` set."""

    def __post_init__(self) -> None:
        check_count("retries", self.retries)
        check_count("server_error_retries", self.server_error_retries)
        check_count("resend_in_doubt", self.resend_in_doubt)
        check_amount("base", self.base)
        check_amount("cap", self.cap)
        check_amount("max_retry_after", self.max_retry_after)
