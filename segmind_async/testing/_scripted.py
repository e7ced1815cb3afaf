"""A transport that answers from a script, without a network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import anyio
from pydantic_core import from_json, to_json

from .._transport.base import WireRequest, WireResponse
from .._wire.failures import Failure

Reply: TypeAlias = WireResponse | Failure
"""The result of a transport: a response, or the reason why there is none."""


def answer(
    text: str,
    *,
    cost: str | None = "0.001",
    balance: str | None = "5",
    headers: Mapping[str, str] | None = None,
) -> WireResponse:
    """Return a 200 response in OpenAI's shape; *cost* and *balance* are credits, as texts."""
    named = {"x-cost": cost, "x-remaining-credits": balance}
    body = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    given = {name: value for name, value in named.items() if value is not None}
    return WireResponse(200, {"content-type": "application/json", **given, **(headers or {})}, to_json(body))


class ScriptedTransport:
    """Answers requests in the order of a script, and records them.

    *replies* are handed out one by one; after the last, and without any, every request is answered with
    what *otherwise* makes of it (default: the last user text, echoed). `latency` is slept before each
    answer, in seconds of the loop's time.
    """

    def __init__(
        self,
        replies: Iterable[Reply] = (),
        *,
        otherwise: Callable[[WireRequest], Reply] | None = None,
        latency: float = 0.0,
        keep: bool = True,
    ) -> None:
        self._replies = deque(replies)
        self._otherwise = otherwise or echo
        self._latency = latency
        self._keep = keep
        self.requests: list[WireRequest] = []
        """What was sent, in order; empty with `keep=False`, for very many."""
        self.closed: bool = False

    def __repr__(self) -> str:
        return f"ScriptedTransport({len(self._replies)} replies left, {len(self.requests)} requests kept)"

    async def send(self, request: WireRequest, time_left: float) -> Reply:
        """Record the request and return the next reply."""
        if self._keep:
            self.requests.append(request)
        # Even without latency every call yields to other tasks, as a network would.
        await anyio.sleep(self._latency)
        return self._replies.popleft() if self._replies else self._otherwise(request)

    async def aclose(self) -> None:
        """Record that the client has closed the transport."""
        self.closed = True


def echo(request: WireRequest) -> Reply:
    """Answer a chat with its last text, and a read of the balance with 5 credits."""
    if request.body is None:
        return WireResponse(200, {}, b'{"credits": 5.0, "free-credits": 0.0}')
    return answer(f"echo: {from_json(request.body)['messages'][-1]['content']}")
