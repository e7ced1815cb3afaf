"""Log lines as JSON, and what each agent of a tree has spent, by hook. Needs SEGMIND_API_KEY."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal

import anyio

from segmind_async import AttemptEnded, Hooks, SegmindClient, trace

FIELDS = ("trace", "model", "attempt", "outcome", "seconds", "cost", "wait", "reason", "balance")
SPENT: dict[str, Decimal] = {}


class JsonLines(logging.Formatter):
    """Writes the name of an event and its fields in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
        return json.dumps({"event": record.getMessage(), **fields}, default=str)


class SpentByTrace(Hooks):
    """Adds up what each agent has spent."""

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Add one attempt."""
        SPENT[event.trace] = SPENT.get(event.trace, Decimal(0)) + (event.cost or 0)


async def main() -> None:
    handler, log = logging.StreamHandler(), logging.getLogger("segmind_async")
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    async with SegmindClient(hooks=[SpentByTrace()]) as client, anyio.create_task_group() as tasks:
        for name in ("an optimist", "a pessimist"):
            with trace(name):  # a task inherits it when it is started
                tasks.start_soon(client.chat, f"You are {name}. Shall we open a second shop?")
    print(SPENT)


if __name__ == "__main__":
    asyncio.run(main())
