"""A response as the event stream of `stream=true`, formed when it is whole. Pure.

Source: OpenAI's API reference, "Streaming events" of responses (2026-08).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import to_json

from ..._errors import GatewayError
from ..envelope import envelope
from ..event_stream import pieces
from ..request_fields import Fields


def response_events(response: Fields) -> bytes:
    """Write a response as a whole stream; its events are numbered from 0."""
    return b"".join(_written({**one, "sequence_number": n}) for n, one in enumerate(_events(response)))


def response_error_event(error: GatewayError) -> bytes:
    """Write an error that comes after the stream has begun.

    OpenAI's SDKs raise what has a field `error`; other readers look at the fields beside it.
    """
    told: Fields = envelope(error)
    return _written({**told["error"], **told, "type": "error", "sequence_number": 0})


def _written(event: Fields) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + to_json(event) + b"\n\n"


def _events(response: Fields) -> Iterator[Fields]:
    empty = {**response, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield {"type": "response.created", "response": empty}
    yield {"type": "response.in_progress", "response": empty}
    for index, item in enumerate(response["output"]):
        at: Fields = {"output_index": index}
        hollow: Fields = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield {
            "type": "response.output_item.added",
            **at,
            "item": {**item, "status": "in_progress", **hollow},
        }
        within = {"item_id": item["id"], **at}
        yield from _message_events(item, within) if item["type"] == "message" else _call_events(item, within)
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def _message_events(item: Fields, within: Fields) -> Iterator[Fields]:
    for index, part in enumerate(item["content"]):
        at: Fields = {**within, "content_index": index}
        name, kind = ("text", "output_text") if part["type"] == "output_text" else ("refusal", "refusal")
        more: Fields = {"logprobs": []} if kind == "output_text" else {}
        yield {"type": "response.content_part.added", **at, "part": {**part, name: ""}}
        for piece in pieces(part[name]):
            yield {"type": f"response.{kind}.delta", **at, "delta": piece, **more}
        yield {"type": f"response.{kind}.done", **at, name: part[name], **more}
        yield {"type": "response.content_part.done", **at, "part": part}


def _call_events(item: Fields, within: Fields) -> Iterator[Fields]:
    kind = "response.function_call_arguments"
    for piece in pieces(item["arguments"]):
        yield {"type": f"{kind}.delta", **within, "delta": piece}
    yield {"type": f"{kind}.done", **within, "name": item["name"], "arguments": item["arguments"]}
