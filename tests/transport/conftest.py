"""The transports under test, each also over TLS."""

from __future__ import annotations

import ssl
from functools import cache

import aiohttp.connector
import pytest
import trustme

import segmind_async as sa
from segmind_async._transport.choice import make_transport
from segmind_async.transport import Transport
from tests.transport.hostile import Behaviour, HostileServer

MOST_BYTES = 32 * 1024 * 1024


class Wire:
    """One transport, and servers that it trusts."""

    def __init__(self, name: str, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._tls = tls

    def server(self, behaviour: Behaviour) -> HostileServer:
        return HostileServer(behaviour, self._tls)

    def transport(
        self, url: str, timeouts: sa.Timeouts | None = None, most_bytes: int = MOST_BYTES
    ) -> Transport:
        return make_transport(self.name, url, {}, timeouts or sa.Timeouts(), most_bytes)

    def client(self, url: str, *, retries: int = 0, **timeouts: float) -> sa.SegmindClient:
        transport = self.transport(url, sa.Timeouts(**timeouts))
        return sa.SegmindClient("k", url, transport=transport, retry=sa.RetryPolicy(retries=retries))


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server on loopback shows, and what trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


NAMES = ("public", "direct")


@pytest.fixture(params=NAMES)
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each transport, without TLS."""
    return Wire(request.param)


@pytest.fixture(params=[*NAMES, *(f"{name} over TLS" for name in NAMES)])
def any_wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Each transport, without and with TLS."""
    name, _, over = request.param.partition(" over ")
    if not over:
        return Wire(name)
    server, client = contexts()
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", client)
    return Wire(name, server)
