"""The names of aiohttp that the direct transport uses and aiohttp does not promise, and the check of them.

Each was read in the source of aiohttp 3.14.3 to 3.14.5. With another version, or a name that is not as
described here, the public transport is used.

- `TCPConnector._factory`: called without arguments, it makes the protocol of each new connection.
- `TCPConnector._create_connection(req, traces, timeout)`: resolves, connects, and returns that protocol; of
  the request it reads URL, TLS settings and proxy.
- `http_parser.HttpResponseParser(protocol, loop, limit, read_until_eof=, auto_decompress=)` in C:
  `feed_data(bytes)` returns new heads with their bodies; `feed_eof()` completes or raises, and returns a
  message that has begun. Both raise `http_exceptions.HttpProcessingError`.
- `StreamReader` as the body of an answer: `total_bytes`, `is_eof()`, `exception()`, `read_nowait(-1)`. Of its
  protocol it uses `_reading_paused`, `resume_reading()`, and `pause_reading()` only above twice its limit.
"""

from __future__ import annotations

import inspect
import re
from functools import cache

import aiohttp
from aiohttp.http_parser import HttpResponseParser

FIRST, BEFORE = (3, 14, 3), (3, 15)
"""Versions of aiohttp for which the names above were checked: from the one, below the other."""

_OF_READER = ("is_eof", "exception", "read_nowait")


@cache
def mismatch() -> str | None:
    """Return what of the installed aiohttp is not as expected; None: the direct transport can be used."""
    return mismatch_of(aiohttp.__version__, aiohttp.TCPConnector, HttpResponseParser, aiohttp.StreamReader)


def mismatch_of(version: str, connector: type, parser: type, reader: type) -> str | None:
    """Return what is not as expected of a version and its classes."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if not FIRST <= numbers < BEFORE:
        return f"aiohttp {version} was not checked"
    create = getattr(connector, "_create_connection", None)
    if create is None or list(inspect.signature(create).parameters) != ["self", "req", "traces", "timeout"]:
        return "TCPConnector._create_connection has another signature"
    if "_http_parser" not in parser.__module__ or not all(
        hasattr(parser, name) for name in ("feed_data", "feed_eof")
    ):
        return "aiohttp's parser in C is not installed"
    missing = [name for name in _OF_READER if not hasattr(reader, name)]
    return f"StreamReader.{missing[0]} is missing" if missing else None
