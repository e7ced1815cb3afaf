"""One connection of the direct transport, given its events by hand: what comes between two turns of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from segmind_async._transport.direct.connection import Connection
from tests.transport.hostile import answer
from tests.transport.hostile_wire import BODY, GOOD, head

PIECE = 65536


class Transport:
    """As much of an open transport as a connection uses."""

    def __init__(self) -> None:
        self.written: list[int] = []
        """Bytes of each write."""
        self.waiting = 0
        """Bytes that have not left."""
        self.is_closed = False

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.written.append(len(data))

    def abort(self) -> None:
        self.is_closed = True


class Owner:
    """Counts what is open."""

    def __init__(self) -> None:
        self.open = 0

    def began(self, connection: Connection) -> None:
        self.open += 1

    def ended(self, connection: Connection) -> None:
        self.open -= 1


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def transport() -> Any:
    return Transport()


@pytest.fixture
def connection(loop: asyncio.AbstractEventLoop, transport: Any) -> Connection:
    made = Connection(Owner(), loop)
    made.connection_made(transport)
    return made


def test_one_answer(connection: Connection) -> None:
    assert (repr(connection), connection.is_quiet) == ("Connection(idle)", True)
    connection.begin(b"", b"{}")
    assert (repr(connection), connection.is_complete, connection.received) == ("Connection(in use)", False, 0)
    connection.data_received(GOOD)
    assert connection.can_be_kept
    assert connection.head is not None
    assert connection.end() == (BODY, None)
    assert (repr(connection), connection.head) == ("Connection(idle)", None)


def test_it_is_not_quiet_while_it_closes(connection: Connection, transport: Transport) -> None:
    transport.is_closed = True
    assert not connection.is_quiet


@pytest.mark.parametrize(("waiting", "is_early"), [(0, False), (1, True)], ids=["written", "not written"])
def test_an_answer_is_early_while_a_part_of_the_request_waits_in_the_loop(
    connection: Connection, transport: Transport, waiting: int, is_early: bool
) -> None:
    connection.begin(b"", b"{}")
    transport.waiting = waiting
    connection.data_received(GOOD)
    assert connection.is_complete
    assert connection.is_early == is_early


def test_a_long_body_is_written_in_pieces_while_the_transport_takes_them(
    connection: Connection, transport: Transport
) -> None:
    connection.pause_writing()
    connection.begin(b"head", bytes(2 * PIECE + 1))
    assert transport.written == [4]
    connection.resume_writing()
    assert transport.written == [4, PIECE, PIECE, 1]


@pytest.mark.parametrize("more", [b"\0noise", answer("other"), b"H"], ids=["noise", "another", "a beginning"])
def test_what_comes_before_an_answer_was_taken_ends_the_connection_and_not_the_answer(
    connection: Connection, transport: Transport, more: bytes
) -> None:
    connection.begin(b"", b"{}")
    connection.data_received(GOOD)
    connection.data_received(more)
    assert transport.is_closed
    assert not connection.can_be_kept
    assert connection.end() == (BODY, None)


def test_a_connection_that_is_lost_before_its_answer_was_taken_is_not_kept(connection: Connection) -> None:
    connection.begin(b"", b"{}")
    connection.data_received(GOOD)
    connection.connection_lost(None)
    assert not connection.can_be_kept
    assert connection.end() == (BODY, None)


@pytest.mark.parametrize("error", [None, ConnectionResetError("reset")], ids=["closed", "reset"])
def test_a_body_without_a_length_ends_with_its_connection_unless_that_is_reset(
    connection: Connection, error: Exception | None
) -> None:
    connection.begin(b"", b"{}")
    connection.data_received(head() + BODY)
    assert not connection.is_complete
    connection.connection_lost(error)
    assert connection.is_complete
    assert connection.end()[1] is error
