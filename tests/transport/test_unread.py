"""What waits in the kernel for a connection on which no answer is due."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from segmind_async._transport.unread import Unread


class Transport:
    """As much of an open connection as is looked at."""

    def __init__(self, end: socket.socket, *, is_encrypted: bool) -> None:
        self._more = {"socket": end, "sslcontext": object() if is_encrypted else None}

    def get_extra_info(self, name: str) -> object:
        return self._more[name]


@pytest.mark.parametrize(
    ("is_encrypted", "is_new", "counts"),
    [
        pytest.param(False, True, True, id="before-the-first-request"),
        pytest.param(False, False, True, id="after-an-answer"),
        pytest.param(True, True, False, id="tickets-after-the-handshake"),
        pytest.param(True, False, True, id="after-an-answer-over-tls"),
    ],
)
def test_what_counts_as_unasked(is_encrypted: bool, is_new: bool, counts: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport: Any = Transport(ours, is_encrypted=is_encrypted)
        unread = Unread(transport)
        assert not unread.waits(is_new=is_new)
        theirs.sendall(b"x")
        assert unread.waits(is_new=is_new) == counts
