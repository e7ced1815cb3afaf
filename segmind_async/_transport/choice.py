"""Which transport a client sends with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Literal

from ..config import Timeouts
from ..errors import ConfigurationError
from .aiohttp import AiohttpTransport
from .base import Transport
from .direct.aiohttp_names import mismatch
from .direct.transport import DirectTransport
from .session_pool import SessionPool

TransportName = Literal["public", "direct"]

LOG = logging.getLogger("segmind_async")


def make_transport(
    name: str | None,
    url: str,
    headers: Mapping[str, str],
    timeouts: Timeouts,
    max_bytes: int,
    proxy: str | None = None,
) -> Transport:
    """Return the transport of this name, the direct one for None; the public one if aiohttp does not suit.

    Also where there is a *proxy*, which the direct one does not know.

    Raises ConfigurationError for an unknown name.
    """
    if name not in {None, "public", "direct"}:
        raise ConfigurationError(f"transport={name!r} must be 'public' or 'direct' (or SEGMIND_TRANSPORT)")
    if name != "public":
        reason = mismatch() if proxy is None else "requests go through a proxy"
        if reason is None:
            return DirectTransport(url, headers, timeouts, max_bytes)
        _tell_once(logging.WARNING if name else logging.INFO, reason)
    return AiohttpTransport(url, SessionPool(headers, proxy), timeouts, max_bytes)


@cache
def _tell_once(level: int, reason: str) -> None:
    LOG.log(level, "transport_public reason=%r", reason)
