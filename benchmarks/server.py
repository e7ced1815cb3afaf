"""A service that is never the bottleneck: fixed answers from a bare protocol, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1793491200,"model":"gpt-5.4-mini","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"' + b"word " * 160 + b'","refusal":null},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":160,"total_tokens":280}}'
)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"x-remaining-credits: 1000000.5\r\nx-cost: 0.0001\r\nContent-Length: %d\r\nx-request-id: req-"
    % len(_BODY)
)
_NUMBERS, _READS = count(1), count(1)
"""Of calls, and of requests without a body, which are no calls."""


class _Service(asyncio.Protocol):
    """Answers every request that is complete, by its Content-Length, after *latency* seconds.

    They vary evenly by the share *spread* of them: callers that always wait equally long come in step.
    """

    def __init__(self, latency: float, spread: float) -> None:
        self._latency = latency
        self._spread = spread
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            if self._latency:
                latency = self._latency * (1 + self._spread * random.uniform(-1, 1))
                asyncio.get_running_loop().call_later(latency, self._answer, length > 0)
            else:
                self._answer(length > 0)

    def _answer(self, is_call: bool) -> None:
        if not self._transport.is_closing():
            # Each answer has an id of its own: two with the same are one answer sent twice.
            head = _HEAD + (str(next(_NUMBERS)) if is_call else f"read-{next(_READS)}").encode()
            self._transport.write(head + b"\r\n\r\n" + _BODY)  # type: ignore[attr-defined]  # a write transport, as it is of a socket


async def _serve(latency: float, spread: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Service(latency, spread), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running(latency: float = 0.0, spread: float = 0.0) -> Iterator[str]:
    """Serve in a process on the last core, this one staying on the first; gives the base URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(latency), str(spread)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process.pid, {cores[-1]})
    os.sched_setaffinity(0, {cores[0]})
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.kill()
        process.communicate()
        os.sched_setaffinity(0, set(cores))


def main() -> None:
    latency, spread = map(float, sys.argv[1:3])
    try:
        import uvloop  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        asyncio.run(_serve(latency, spread))
    else:
        uvloop.run(_serve(latency, spread))


if __name__ == "__main__":
    main()
