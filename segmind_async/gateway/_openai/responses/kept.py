"""The responses of each caller to which later requests refer, in bounded memory. Pure.

Most SDKs send the whole conversation each time. Some refer to what they have received: by
`previous_response_id`, or to single items by their ids (the Vercel AI SDK, unless `store` is false).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from uuid import uuid4

from pydantic_core import from_json, to_json

from ....models import JsonDict
from ..._errors import GatewayError
from ..request_fields import Fields
from .answer import response_of
from .request import ResponsesCall, read_response_request

_PREFIX = "resp_"


class _Kept(NamedTuple):
    """A response as JSON, in parts that are parsed one by one."""

    response: bytes
    """All but its output."""
    output: Mapping[str, bytes]
    """The items of its output by their ids."""
    items: bytes
    """The input of its request, without what came before."""
    previous: str | None

    @property
    def turn_size(self) -> int:
        """Bytes of its input and output."""
        return len(self.items) + sum(map(len, self.output.values()))

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(self.response) + self.turn_size

    def output_items(self) -> list[JsonDict]:
        """Return the items of its output."""
        return [from_json(item) for item in self.output.values()]


class KeptResponses:
    """All that is kept, at most *max_bytes* of JSON; what was not used for longest goes first.

    A request may have *max_request_bytes* with all that it refers to.
    """

    def __init__(self, max_bytes: int, max_request_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.max_request_bytes: int = max_request_bytes
        self._kept: OrderedDict[tuple[bytes, str], _Kept] = OrderedDict()
        self.bytes: int = 0

    def of(self, token: str) -> CallersResponses:
        """Return the responses of the caller with a token; nobody else sees them."""
        return CallersResponses(self, blake2b(token.encode("utf-8", "surrogateescape")).digest())

    def get(self, key: tuple[bytes, str]) -> _Kept | None:
        """Return what is kept under *key*, which counts as used now."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: tuple[bytes, str], made: _Kept) -> bool:
        """Keep one more; return whether there is room for it."""
        if made.size > self._max_bytes:
            return False
        self._kept[key] = made
        self.bytes += made.size
        while self.bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.size
        return True

    def drop(self, key: tuple[bytes, str]) -> bool:
        """Drop one; return whether it was there."""
        found = self._kept.pop(key, None)
        self.bytes -= 0 if found is None else found.size
        return found is not None


class CallersResponses:
    """The responses of one caller."""

    def __init__(self, kept: KeptResponses, owner: bytes) -> None:
        self._all = kept
        self._owner = owner

    def read(self, body: bytes) -> ResponsesCall:
        """Read a request, which may refer to what is kept; raises GatewayError."""
        return read_response_request(body, _References(self, len(body), self._all.max_request_bytes))

    def formed(self, call: ResponsesCall, chat: JsonDict) -> JsonDict:
        """Return the response to a call whose answer is *chat*, and keep it if its caller wants that."""
        id_ = _PREFIX + uuid4().hex
        response: Fields = response_of(chat, id_, call.echoed, store=call.store)
        # What is too large to be kept is not said to be.
        return {**response, "store": call.store and self._keep(response, call)}

    def get(self, id_: str) -> JsonDict:
        """Return a response; raises GatewayError, a 404, if it is not kept."""
        found = self.find(id_)
        if found is None:
            raise _unknown(id_)
        return {**from_json(found.response), "output": found.output_items()}

    def delete(self, id_: str) -> JsonDict:
        """Drop a response, and say so; raises GatewayError, a 404, if it is not kept."""
        if not self._all.drop((self._owner, id_)):
            raise _unknown(id_)
        return {"id": id_, "object": "response.deleted", "deleted": True}

    def find(self, id_: str) -> _Kept | None:
        """Return what is kept of a response, which counts as used now."""
        return self._all.get((self._owner, id_))

    def _keep(self, response: Fields, call: ResponsesCall) -> bool:
        output = {item["id"]: to_json(item) for item in response["output"]}
        made = _Kept(to_json({**response, "output": []}), output, to_json(call.items), call.previous)
        return self._all.keep((self._owner, response["id"]), made)


class _References:
    """What one request refers to: each item is parsed once, and counted as often as it is referred to."""

    def __init__(self, responses: CallersResponses, size: int, max_size: int) -> None:
        self.size: int = size
        """Bytes of the request with all that it has referred to."""
        self._responses = responses
        self._max_size = max_size
        self._parsed: dict[str, JsonDict] = {}

    def item(self, id_: str) -> JsonDict | None:
        """Return an item of a response's output; None if it is not kept."""
        # An item's id holds that of its response.
        name = id_.split("_")[1] if "_" in id_ else ""
        response = self._responses.find(_PREFIX + name)
        found = None if response is None else response.output.get(id_)
        if found is None:
            return None
        self._count(len(found), "input")
        if id_ not in self._parsed:
            self._parsed[id_] = from_json(found)
        return self._parsed[id_]

    def conversation(self, id_: str) -> list[JsonDict] | None:
        """Return all items up to a response, the earliest first; None if a response is missing."""
        chain: list[tuple[str, _Kept]] = []
        at: str | None = id_
        while at is not None:
            found = self._responses.find(at)
            if found is None:
                return None
            self._count(found.turn_size, "previous_response_id")
            chain.append((at, found))
            at = found.previous
        # An earlier one is of no less use than those that follow it.
        for key, _ in chain:
            self._responses.find(key)
        return [item for _, one in reversed(chain) for item in (*from_json(one.items), *one.output_items())]

    def _count(self, size: int, param: str) -> None:
        self.size += size
        if self.size > self._max_size:
            raise GatewayError(
                413,
                f"the request, with what its {param!r} refers to, is longer than the {self._max_size} bytes "
                "that this gateway takes",
                code="too_large",
                param=param,
            )


def _unknown(id_: str) -> GatewayError:
    return GatewayError(
        404,
        f"the response {id_[:80]!r} is not kept here (any more): they are kept while there is room",
        code="response_not_found",
        param="response_id",
    )
