"""Find out by their answers which models receive `tools`; for the others, tools go through a schema."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import anyio

from .._agents.tool_protocol import PROBE, PROBE_MESSAGES
from .._providers.finish import ignored_tools
from .._providers.requests import EncodedRequest
from ..client import SegmindClient
from ..errors import SegmindError, ToolsNotSupportedError
from ..models import ChatCompletion, ChatRequest
from ._openai.schema_tools import carried, has_tool_turns


class ToolSupport:
    """Sends calls with tools in the way that their model takes them.

    A text answer looks the same whether it needed no tool or the service dropped the tools. So the first
    answer of a model that calls none is followed by one cheap call that must call a tool.
    """

    def __init__(self, via: Literal["auto", "native", "schema"]) -> None:
        self._via = via
        self._reached: dict[str, bool] = {}
        """Whether tools reach a model, where that is known."""
        self._finding: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)

    async def chat(self, client: SegmindClient, wanted: ChatRequest) -> ChatCompletion[Any]:
        """Return the answer of *client* to *wanted*, with the cost of what had to be found out."""
        model = wanted.model
        assert model is not None
        # A body in the service's own form is passed on as it is.
        if self._via == "native" or isinstance(wanted, EncodedRequest) or not _with_tools(wanted):
            return await client.chat(wanted)
        if self._via == "schema" or self._reached.get(model) is False:
            return await _through_schema(client, wanted)
        paid: list[Decimal | None] = []
        text: ChatCompletion[Any] | None = None
        try:
            got = await client.chat(wanted)
        except ToolsNotSupportedError as error:
            # A model that has called tools before has ignored them this once.
            self._reached.setdefault(model, False)
            paid.append(error.details.cost)
        else:
            if got.tool_calls:
                self._reached[model] = True
            if not _is_in_question(wanted, got) or await self._reach(client, model, paid):
                return _with_cost(got, paid)
            text = got
            paid.append(got.cost)
        try:
            return _with_cost(await _through_schema(client, wanted), paid)
        except SegmindError as error:
            cost = _sum(error.details.cost, paid)
            if text is not None:
                # It is whole and paid, and no call was demanded.
                return replace(text, cost=cost)
            error.add_paid(error.answers, cost)
            raise

    async def _reach(self, client: SegmindClient, model: str, paid: list[Decimal | None]) -> bool:
        """Return whether tools reach a model, if need be by a call; what that has cost goes into *paid*."""
        async with self._finding[model]:
            if model not in self._reached:
                try:
                    paid.append((await client.chat(ChatRequest.of(PROBE_MESSAGES, model, PROBE))).cost)
                    self._reached[model] = True
                except ToolsNotSupportedError as error:
                    paid.append(error.details.cost)
                    self._reached.setdefault(model, False)
                except SegmindError as error:
                    # The answer is paid: it is returned unchecked, and the next one is checked.
                    paid.append(error.details.cost)
        return self._reached.get(model, True)


def _with_tools(wanted: ChatRequest) -> bool:
    return bool(wanted.parameters.get("tools")) or has_tool_turns(wanted.messages)


def _is_in_question(wanted: ChatRequest, got: ChatCompletion[Any]) -> bool:
    offered = bool(wanted.parameters.get("tools")) and wanted.parameters.get("tool_choice") != "none"
    return offered and ignored_tools(got)


async def _through_schema(client: SegmindClient, wanted: ChatRequest) -> ChatCompletion[Any]:
    call = carried(wanted.messages, {**wanted.parameters})
    request = ChatRequest.of(call.messages, wanted.model, call.parameters)
    if call.schema is None:
        return await client.chat(request)
    # A shape of this library: no type that its users could pass.
    shape: Any = call.shape()
    return call.read(await client.chat(request, parse=shape))


def _with_cost(got: ChatCompletion[Any], paid: list[Decimal | None]) -> ChatCompletion[Any]:
    return replace(got, cost=_sum(got.cost, paid)) if paid else got


def _sum(cost: Decimal | None, paid: list[Decimal | None]) -> Decimal | None:
    known = [one for one in (cost, *paid) if one is not None]
    return sum(known, Decimal(0)) if known else None
