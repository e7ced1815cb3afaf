"""Every transport against the table of what may come over a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

import segmind_async as sa
from tests.transport.conftest import Wire
from tests.transport.hostile import Connection
from tests.transport.hostile_wire import CASES, GOOD, PAGE, Case, serve, slowly, table


async def ask(client: sa.SegmindClient) -> str:
    """Return how one call ends, in the words of the table."""
    try:
        reply = await client.chat("hello")
    except sa.SegmindError as error:
        billed = "may be billed" if error.details.in_doubt else "not billed"
        return f"{type(error).__name__}, {billed}"
    return "ok" if reply.text == "good" else f"wrong: {reply.text}"


async def check(wire: Wire, case: Case, arrival: Callable[[], Awaitable[object]]) -> None:
    """Make two calls, of which the first is answered as *case* says; *arrival* waits for what is on its way."""

    async def behave(connection: Connection) -> None:
        if connection.number == 0:
            await case.behave(connection)
            return
        await serve(connection)

    async with wire.server(behave) as server, wire.client(server.url) as client:
        assert await ask(client) in {case.outcome, case.or_else}
        assert client.statistics().in_flight == 0
        await arrival()
        # The first connection is used again only if it was left in good order.
        assert await ask(client) == "ok"


@pytest.mark.parametrize(
    "case",
    [
        # What is sent without end takes seconds.
        pytest.param(
            case,
            id=f"{case.group}: {case.name}",
            marks=[pytest.mark.slow] if case.name.endswith("without end") else [],
        )
        for case in CASES
    ],
)
async def test_every_answer_ends_in_its_outcome_and_the_next_call_works(any_wire: Wire, case: Case) -> None:
    await check(any_wire, case, lambda: anyio.sleep(1))  # of virtual time


@pytest.mark.parametrize("at", range(1, len(GOOD)))
async def test_a_good_answer_may_be_split_anywhere(wire: Wire, at: int) -> None:
    async with (
        wire.server(slowly(GOOD, at, 0.01)) as server,
        wire.client(server.url) as client,
    ):
        assert await ask(client) == "ok"


async def test_a_kept_connection_that_closes_at_the_instant_of_sending_is_replaced_or_in_doubt(
    wire: Wire,
) -> None:
    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            await connection.send(GOOD)

    async with wire.server(behave) as server, wire.client(server.url) as client:
        outcomes = {await ask(client) for _ in range(100)}
    assert outcomes <= {"ok", "APIConnectionError, may be billed"}


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == table()
