"""On uvloop, whose sockets, buffers and ends of connections are its own: all that does not wait for time."""

from __future__ import annotations

import anyio.lowlevel
import pytest

from segmind_async.transport import WireRequest
from tests.transport import test_surplus
from tests.transport.conftest import Wire
from tests.transport.hostile import Connection
from tests.transport.hostile_wire import CASES, GOOD, SILENT, Case
from tests.transport.test_hostile_wire import check

pytest.importorskip("uvloop")

test_early = test_surplus.test_an_answer_before_the_whole_request_is_in_doubt_and_not_read
test_new = test_surplus.test_bytes_on_a_new_connection_end_it_and_nothing_was_sent
test_kept = test_surplus.test_bytes_that_arrive_just_before_the_request_is_written_end_the_connection
test_ids = test_surplus.test_a_server_whose_answers_all_have_one_id_costs_one_repeat

QUICK = [
    case for case in CASES if case.outcome != SILENT and not case.name.endswith(("apart", "without end"))
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": True}


async def turns() -> None:
    """Let both ends read what was sent."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{case.group}: {case.name}",
            # Of what a parser reads little can depend on the loop.
            marks=[] if case.group == "ends" else [pytest.mark.slow],
        )
        for case in QUICK
    ],
)
async def test_every_answer_ends_in_its_outcome_and_the_next_call_works(any_wire: Wire, case: Case) -> None:
    await check(any_wire, case, turns)


async def test_an_answer_in_pieces_of_any_size(any_wire: Wire) -> None:
    async def behave(connection: Connection) -> None:
        for size in range(1, len(GOOD)):
            if await connection.request() is not None:
                await connection.send_slowly(GOOD, size)

    async with any_wire.server(behave) as server:
        transport = any_wire.transport(server.url)
        for _ in range(1, len(GOOD)):
            got = await transport.send(WireRequest("/m", b"{}"), 60)
            assert GOOD.endswith(got.body)
            assert got.body
        assert server.connections == 1
        await transport.aclose()
