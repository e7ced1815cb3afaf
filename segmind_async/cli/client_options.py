"""The client of a command: its options, and how it is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ..client import SegmindClient
from ..config import Limits, Timeouts
from ..errors import ConfigurationError
from ..models import DEFAULT_MODEL

if TYPE_CHECKING:
    from ..emulator import Brain


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """The options of a command that concern its client."""

    model: str = DEFAULT_MODEL
    max_in_flight: int = Limits().max_in_flight
    requests_per_minute: float | None = None
    emulate: bool = False
    emulated_balance: Decimal = Decimal(5)
    brain: Brain | None = None
    floor: Decimal = Decimal(0)
    """Credits that must be left on the account."""
    timeout: float | None = None
    """Seconds of one call, all its attempts included; None: the client's own."""
    api_keys_file: Path | None = None
    """File of keys, before those of the environment."""
    offline: bool = False
    """Whether nothing is going to be sent, so that no key is needed."""

    @property
    def timeouts(self) -> Timeouts | None:
        """The timeouts of the client; None: its own. One attempt may take the whole time of its call."""
        return None if self.timeout is None else Timeouts(total=self.timeout, attempt=self.timeout)


@asynccontextmanager
async def open_client(options: ClientOptions) -> AsyncIterator[SegmindClient]:
    """Open a client; with `emulate`, on an emulator that is closed with it."""
    limits = Limits(options.max_in_flight, options.requests_per_minute, options.floor)
    if options.emulate:
        from ..emulator import Emulator  # noqa: PLC0415  # importing it would slow --help down by a fifth

        async with (
            Emulator(options.brain, balance=options.emulated_balance, keep_calls=False) as emulator,
            SegmindClient(emulator.key, emulator.url, options.model, limits, options.timeouts) as client,
        ):
            yield client
        return
    keys, base_url = access(options)
    async with SegmindClient(
        None, base_url, options.model, limits, options.timeouts, api_keys=keys
    ) as client:
        yield client


def number_of_keys(options: ClientOptions) -> int:
    """Return how many API keys are configured."""
    return len(_configured(options)[0])


def access(options: ClientOptions) -> tuple[tuple[str, ...], str | None]:
    """Return the keys to send with, and the address, None for the default; raises ConfigurationError."""
    keys, base_url = _configured(options)
    if options.offline:
        keys = ("none",)
    if not keys:
        raise ConfigurationError(
            "no API key: set SEGMIND_API_KEY, or write it into a file .env; --emulate needs none"
        )
    return keys, base_url


def _configured(options: ClientOptions) -> tuple[tuple[str, ...], str | None]:
    from .credentials import Credentials, read_keys  # noqa: PLC0415  # importing it takes as long as aiohttp

    settings = Credentials()
    keys = settings.keys if options.api_keys_file is None else read_keys(options.api_keys_file)
    return keys, settings.base_url
