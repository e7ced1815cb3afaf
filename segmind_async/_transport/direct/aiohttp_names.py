"""The names of aiohttp that are used here and that aiohttp does not promise, and the check of them.

Each was read in the source of aiohttp 3.14.3 to 3.14.5. With another version, or a name that is not as
described here, the public transport is used, and does without them.

- `TCPConnector._factory`: called without arguments, it makes the protocol of each new connection.
- `TCPConnector._create_connection(req, traces, timeout)`: resolves, connects, and returns that protocol; of
  the request it reads URL, TLS settings and proxy.
- `http_parser.HttpResponseParser(protocol, loop, limit, read_until_eof=, auto_decompress=)` in C:
  `feed_data(bytes)` returns new heads with their bodies; `feed_eof()` completes or raises, and returns a
  message that has begun. Both raise `http_exceptions.HttpProcessingError`.
- `StreamReader` as the body of an answer: `total_bytes`, `is_eof()`, `exception()`, `read_nowait(-1)`. Of its
  protocol it uses `_reading_paused`, `resume_reading()`, and `pause_reading()` only above twice its limit.
- `ResponseHandler._parser`: the parser of the public transport's connections, kept after an answer until the
  next request is sent.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

FIRST, BEFORE = (3, 14, 3), (3, 15)
"""Versions of aiohttp for which the names above were checked: from the one, below the other."""

_OF_PARSER = ("feed_data", "feed_eof")
_OF_READER = ("total_bytes", "is_eof", "exception", "read_nowait")


@cache
def mismatch() -> str | None:
    """Return what of the installed aiohttp is not as expected; None: the direct transport can be used."""
    return mismatch_of(aiohttp.__version__, aiohttp.TCPConnector, HttpResponseParser, aiohttp.StreamReader)


def mismatch_of(version: str, connector: type, parser: type, reader: type) -> str | None:
    """Return what is not as expected of a version and its classes."""
    if not _was_checked(version):
        return f"aiohttp {version} was not checked"
    if not any("_factory" in _names_in_init(each) for each in connector.__mro__):
        return "TCPConnector._factory is missing"
    create = getattr(connector, "_create_connection", None)
    if create is None or list(inspect.signature(create).parameters) != ["self", "req", "traces", "timeout"]:
        return "TCPConnector._create_connection has another signature"
    if "_http_parser" not in parser.__module__ or not all(hasattr(parser, name) for name in _OF_PARSER):
        return "aiohttp's parser in C is not installed"
    missing = [name for name in _OF_READER if not hasattr(reader, name)]
    return f"StreamReader.{missing[0]} is missing" if missing else None


def is_between_answers(protocol: ResponseHandler) -> bool:
    """Return whether a connection of the public transport has read no part of another answer.

    True where it cannot be told: with a version of aiohttp that was not checked.
    """
    parser = getattr(protocol, "_parser", None) if _was_checked(aiohttp.__version__) else None
    return parser is None or is_between_messages(parser)


def is_between_messages(parser: HttpResponseParser) -> bool:
    """Return whether a parser that has read an answer to its end has read nothing of another."""
    try:
        return parser.feed_eof() is None
    except HttpProcessingError:
        return False


def _names_in_init(of: type) -> tuple[str, ...]:
    """Return the names in the code of an `__init__`: a connector cannot be made without a running loop."""
    code = getattr(vars(of).get("__init__"), "__code__", None)
    return () if code is None else code.co_names


def _was_checked(version: str) -> bool:
    return FIRST <= tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < BEFORE
