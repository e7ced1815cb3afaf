"""The items of a response's input, turned into messages in the form of chat completions. Pure.

Source: OpenAI's API reference, "Create a model response" (2026-08). Mistakes are named by their place in
`input`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ...._providers.requests import check_messages
from ....errors import InvalidRequestError
from ....models import JsonDict
from ..._errors import GatewayError, invalid
from ..request_fields import Fields

_ROLES = ("user", "assistant", "system", "developer")

Known = Callable[[str], JsonDict | None]
"""Returns the item of an earlier response by its id, None if it is not kept."""


def read_items(given: str | list[object], known: Known) -> list[JsonDict]:
    """Return the items of an input, each reference replaced by the item that it refers to.

    Raises GatewayError, a 400 that names the item.
    """
    rows: list[object] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [_item(f"input[{index}]", row, known) for index, row in enumerate(rows)]


def messages_of(earlier: Iterable[JsonDict], items: Iterable[JsonDict]) -> list[Fields]:
    """Return a conversation: items of *earlier* responses, then those of an input that was read.

    Raises GatewayError, a 400 that names the item.
    """
    conversation = _Conversation()
    for item in earlier:
        conversation.add("an earlier item", item)
    for index, item in enumerate(items):
        conversation.add(f"input[{index}]", item)
    return conversation.messages


def _item(place: str, row: object, known: Known) -> JsonDict:
    if not isinstance(row, dict):
        raise _wrong(place, f"must be an item, not {row!r:.80}")
    item: JsonDict = row
    kind = _type_of(item)
    if kind == "item_reference":
        return _referred(place, item, known)
    if kind == "function_call" and "extra_content" not in item:
        # SDKs may drop what they do not know of an item; Gemini needs its signature back.
        own = known(str(item.get("id"))) or {}
        return {**item, "extra_content": own["extra_content"]} if "extra_content" in own else item
    return item


def _type_of(item: JsonDict) -> object:
    untyped = "message" if "role" in item else "item_reference" if "id" in item else None
    return item.get("type") or untyped


def _referred(place: str, item: JsonDict, known: Known) -> JsonDict:
    found = known(_text_in(place, item, "id"))
    if found is None:
        raise _wrong(
            f"{place}.id",
            f"is {item['id']!r:.80}, which is not kept here (any more); send the item itself, and "
            "store=false so that your SDK does so",
            "item_not_found",
        )
    return found


class _Conversation:
    """Messages, built from items."""

    def __init__(self) -> None:
        self.messages: list[Fields] = []
        self._calls: set[str] = set()
        """Ids of the calls so far."""

    def add(self, place: str, item: JsonDict) -> None:
        """Add an item; *place* names it in errors."""
        kind = _type_of(item)
        if kind == "message":
            self._add_message(place, item)
        elif kind == "function_call":
            self._add_call(place, item)
        elif kind == "function_call_output":
            self._add_output(place, item)
        elif kind != "reasoning":
            # Reasoning is left out: this gateway issues none, and what others issued no model here can read.
            raise _wrong(
                place,
                f"has type {kind!r:.60}; this gateway takes message, function_call, function_call_output, "
                "item_reference and reasoning",
                "unsupported_value",
            )

    def _add_message(self, place: str, item: JsonDict) -> None:
        role = item.get("role")
        if role not in _ROLES:
            raise _wrong(place, f"has role {role!r:.60}; use one of {', '.join(_ROLES)}")
        content = item.get("content")
        if not isinstance(content, str | list):
            raise _wrong(f"{place}.content", f"must be a string or a list of parts, not {content!r:.80}")
        if role == "assistant":
            content = "".join(_text_of(f"{place}.content", content))
            last = self.messages[-1] if self.messages else {}
            if "tool_calls" in last and last["content"] is None:
                # Between calls and their results no other message may stand.
                last["content"] = content or None
                return
        elif isinstance(content, list):
            content = _parts(f"{place}.content", content)
        self.messages.append({"role": role, "content": content})

    def _add_call(self, place: str, item: JsonDict) -> None:
        id_, name, arguments = (_text_in(place, item, field) for field in ("call_id", "name", "arguments"))
        self._calls.add(id_)
        call: JsonDict = {
            "id": id_,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        if "extra_content" in item:
            call["extra_content"] = item["extra_content"]
        last = self.messages[-1] if self.messages else {}
        if last.get("role") != "assistant":
            last = {"role": "assistant", "content": None}
            self.messages.append(last)
        last["content"] = last["content"] or None
        last.setdefault("tool_calls", []).append(call)

    def _add_output(self, place: str, item: JsonDict) -> None:
        id_ = _text_in(place, item, "call_id")
        if id_ not in self._calls:
            raise _wrong(
                f"{place}.call_id", f"is {id_!r:.80}, but no function_call before it has this call_id"
            )
        output = item.get("output")
        if isinstance(output, list):
            output = _parts(f"{place}.output", output)
        elif not isinstance(output, str):
            raise _wrong(f"{place}.output", f"must be a string or a list of parts, not {output!r:.80}")
        self.messages.append({"role": "tool", "tool_call_id": id_, "content": output})


def _text_of(place: str, content: str | list[object]) -> Iterable[str]:
    """Yield the texts of what an assistant has said, refusals included."""
    if isinstance(content, str):
        yield content
        return
    for index, part in enumerate(content):
        where = f"{place}[{index}]"
        kind, fields = _part_of(where, part)
        if kind not in ("output_text", "text", "input_text", "refusal"):
            raise _wrong(where, f"has type {kind!r:.60}; an assistant says output_text or refusal")
        yield _text_in(where, fields, "refusal" if kind == "refusal" else "text")


def _parts(place: str, content: list[object]) -> list[JsonDict]:
    parts = [_part(f"{place}[{index}]", part) for index, part in enumerate(content)]
    if not parts:
        raise _wrong(place, "must hold at least one part")
    return parts


def _part(place: str, part: object) -> JsonDict:
    """Return a part of a message, or of a function's output, in the form of chat completions."""
    kind, fields = _part_of(place, part)
    if kind in ("input_text", "text", "output_text"):
        return {"type": "text", "text": _text_in(place, fields, "text")}
    if kind == "input_image":
        image: JsonDict = {"url": _text_in(place, fields, "image_url", "files by id are not supported")}
        if isinstance(fields.get("detail"), str):
            image["detail"] = fields["detail"]
        return _fetchable(place, {"type": "image_url", "image_url": image})
    if kind == "input_file":
        names = [name for name in ("file_data", "file_url") if name in fields]
        if len(names) != 1:
            raise _wrong(place, "must have file_data, a data URL, or file_url; files by id are not supported")
        named = {name: fields[name] for name in (*names, "filename") if name in fields}
        return _fetchable(
            place, {"type": "file", "file": {name: _text_in(place, named, name) for name in named}}
        )
    raise _wrong(
        place,
        f"has type {kind!r:.60}; this gateway takes input_text, input_image and input_file",
        "unsupported_value",
    )


def _fetchable(place: str, part: JsonDict) -> JsonDict:
    """Return *part*; raises GatewayError if the URL of its image or file is none that can be fetched."""
    try:
        check_messages([{"role": "user", "content": [part]}])
    except InvalidRequestError as error:
        raise _wrong(
            place, "has a URL that cannot be fetched; give https://… or data:…", "invalid_url"
        ) from error
    return part


def _part_of(place: str, part: object) -> tuple[object, JsonDict]:
    if not isinstance(part, dict):
        raise _wrong(place, f"must be a part, not {part!r:.80}")
    return part.get("type"), part


def _text_in(place: str, fields: Mapping[str, object], name: str, way: str = "") -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _wrong(f"{place}.{name}", f"must be a string, not {value!r:.80}{way and '; '}{way}")
    return value


def _wrong(place: str, what: str, code: str = "invalid_type") -> GatewayError:
    return invalid(f"'{place}' {what}", "input", code)
