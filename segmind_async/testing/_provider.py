"""A provider with a form of its own: an example of what a provider consists of, and a double for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic_core import to_json

from .._providers.json_fields import arguments_text, count_in, object_in, objects_in, string_in
from .._providers.openai_messages import (
    arguments_of,
    calls_of,
    function_in,
    function_name_of,
    result_id_of,
    split_system,
    texts_of,
)
from .._providers.provider import Answer, Finish, Provider
from .._transport.base import WireResponse
from ..models import JsonDict, JsonObject, Message, ToolCall, Usage


class FakeProvider(Provider):
    """A provider that exists nowhere: models `fake-*`, with request and answer forms unlike all others.

    A request has `guidance`, `turns` and `abilities`; an answer has `reply`, `ended` and `spent`.
    """

    name = "fake"
    slug_prefixes: ClassVar[tuple[str, ...]] = ("fake-",)
    finish_words: ClassVar[Mapping[str, Finish]] = {
        "done": Finish.WHOLE,
        "too_long": Finish.TRUNCATED,
        "declined": Finish.REFUSED,
    }

    def body(self, messages: Sequence[Message]) -> JsonDict:
        """Name the roles differently, and put the system prompt apart."""
        system, rest = split_system(messages)
        body: JsonDict = {"turns": [_turn(row) for row in rest]}
        return {"guidance": system, **body} if system else body

    def tool_parameters(self, tools: Sequence[JsonObject]) -> JsonDict:
        """Declare functions as `abilities`."""
        functions = [function_in(one) for one in tools]
        return {"abilities": [{"name": one["name"], "takes": one["parameters"]} for one in functions]}

    def tool_choice(self, choice: str) -> JsonDict:
        """Return the choice under its own name."""
        return {"ability": choice}

    def recognises(self, raw: JsonObject) -> bool:
        """Return whether there is a reply."""
        return "reply" in raw

    def read_answer(self, raw: JsonDict) -> Answer:
        """Read the reply."""
        reply, spent = object_in(raw["reply"]), object_in(raw.get("spent"))
        asked, answered = count_in(spent.get("read")), count_in(spent.get("written"))
        return Answer(
            text=string_in(reply.get("says")) or "",
            finish_reason=string_in(raw.get("ended")),
            usage=Usage(asked, answered, None if asked is None or answered is None else asked + answered),
            tool_calls=tuple(
                ToolCall(string_in(use.get("ref")), str(use.get("ability")), arguments_text(use.get("with")))
                for use in objects_in(reply.get("uses"))
            ),
            raw=raw,
        )

    def answer(
        self, text: str = "", *, ended: str = "done", uses: Sequence[JsonObject] = (), cost: str = "0.001"
    ) -> WireResponse:
        """Make a 200 in this provider's form, for a `ScriptedTransport`.

        *uses* are tool calls as `{"ref": …, "ability": …, "with": {…}}`; *cost* is in credits.
        """
        reply = {"says": text, "uses": [*uses]}
        body = {"reply": reply, "ended": ended, "spent": {"read": 10, "written": 5}}
        return WireResponse(200, {"x-cost": cost, "x-remaining-credits": "5"}, to_json(body))


def _turn(row: Message) -> JsonDict:
    text = "".join(texts_of(row))
    if row["role"] == "tool":
        return {"from": "ability", "ref": result_id_of(row), "gave": text}
    turn: JsonDict = {"from": "model" if row["role"] == "assistant" else "human", "says": text}
    uses = [
        {"ref": call.get("id"), "ability": function_name_of(call), "with": arguments_of(call)}
        for call in calls_of(row)
    ]
    return {**turn, "uses": uses} if uses else turn
