"""What every command needs around its one call of the library: a client, an exit code, safe text."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

import anyio
import typer

from ..client import SegmindClient
from ..config import Limits
from ..errors import SegmindError
from ..models import DEFAULT_MODEL
from .exit_codes import Exit, exit_for_error

if TYPE_CHECKING:
    from ..emulator import Brain


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What the options of a command say of the client."""

    model: str = DEFAULT_MODEL
    max_in_flight: int = Limits().max_in_flight
    requests_per_minute: float | None = None
    emulate: bool = False
    emulated_balance: Decimal = Decimal(5)
    brain: Brain | None = field(default=None)


@asynccontextmanager
async def open_client(options: ClientOptions) -> AsyncIterator[SegmindClient]:
    """Open a client, on an emulator that lives as long if one is asked for."""
    limits = Limits(options.max_in_flight, options.requests_per_minute)
    if options.emulate:
        from ..emulator import Emulator  # noqa: PLC0415  # takes a fifth of the time that --help has

        async with (
            Emulator(options.brain, balance=options.emulated_balance, keep_calls=False) as emulator,
            SegmindClient(emulator.key, emulator.url, options.model, limits) as client,
        ):
            yield client
        return
    from .settings import Settings  # noqa: PLC0415  # takes as long to import as aiohttp

    settings = Settings()
    key = settings.api_key.get_secret_value() if settings.api_key else None
    async with SegmindClient(key, settings.base_url, options.model, limits) as client:
        yield client


def has_key() -> bool:
    """Tell whether there is a key to ask the service with."""
    from .settings import Settings  # noqa: PLC0415  # see `open_client`

    return Settings().api_key is not None


def run(main: Callable[[], Awaitable[Exit]]) -> NoReturn:
    """Run a command to its exit code, on uvloop if it is there; an error becomes one line on stderr."""
    try:
        code = anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        say("interrupted")
    except SegmindError as error:
        code = exit_for_error(error)
        say(f"{type(error).__name__}: {error}")
    except (OSError, sqlite3.Error) as error:
        code = Exit.LOCAL_IO
        say(f"{type(error).__name__}: {error}")
    raise typer.Exit(code)


def say(text: str) -> None:
    """Print one line of chatter; results alone go to stdout."""
    print(plain(text), file=sys.stderr, flush=True)


def show_json(value: object) -> None:
    """Print a result for programs; amounts are strings, so that no digit is lost."""
    print(json.dumps(value, default=str, ensure_ascii=True, indent=2))


def plain(text: str) -> str:
    """Escape what could steer a terminal: text of a model or server is data."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)
