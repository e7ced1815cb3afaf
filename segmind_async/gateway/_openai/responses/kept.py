"""The responses of each caller to which later requests refer, in bounded memory. Pure.

Most SDKs send the whole conversation each time. Some refer to what they have received: by
`previous_response_id`, or to single items by their ids (the Vercel AI SDK, unless `store` is false).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple
from uuid import uuid4

from pydantic_core import from_json, to_json

from ....models import JsonDict
from ..._errors import GatewayError
from .answer import response_of
from .request import ResponsesCall, read_response_request

_PREFIX = "resp_"


class _Kept(NamedTuple):
    """A response as JSON, whose size is known."""

    response: bytes
    items: bytes
    """The input of its request, without what came before."""
    previous: str | None


class KeptResponses:
    """All that is kept, at most *max_bytes* of JSON; what was not used for longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
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

    def keep(self, key: tuple[bytes, str], made: _Kept) -> None:
        """Keep one more."""
        self._kept[key] = made
        self.bytes += _size(made)
        while self.bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= _size(dropped)

    def drop(self, key: tuple[bytes, str]) -> bool:
        """Drop one; return whether it was there."""
        found = self._kept.pop(key, None)
        self.bytes -= 0 if found is None else _size(found)
        return found is not None


class CallersResponses:
    """The responses of one caller."""

    def __init__(self, kept: KeptResponses, owner: bytes) -> None:
        self._all = kept
        self._owner = owner

    def read(self, body: bytes) -> ResponsesCall:
        """Read a request, which may refer to what is kept; raises GatewayError."""
        return read_response_request(body, self._item, self._conversation)

    def formed(self, call: ResponsesCall, chat: JsonDict) -> JsonDict:
        """Return the response to a call whose answer is *chat*, and keep it if its caller wants that."""
        id_ = _PREFIX + uuid4().hex
        response = response_of(chat, id_, call.echoed, store=call.store)
        if call.store:
            made = _Kept(to_json(response), to_json(call.items), call.previous)
            self._all.keep((self._owner, id_), made)
        return response

    def get(self, id_: str) -> JsonDict:
        """Return a response; raises GatewayError, a 404, if it is not kept."""
        found = self._all.get((self._owner, id_))
        if found is None:
            raise _unknown(id_)
        response: JsonDict = from_json(found.response)
        return response

    def delete(self, id_: str) -> JsonDict:
        """Drop a response, and say so; raises GatewayError, a 404, if it is not kept."""
        if not self._all.drop((self._owner, id_)):
            raise _unknown(id_)
        return {"id": id_, "object": "response.deleted", "deleted": True}

    def _item(self, id_: str) -> JsonDict | None:
        """Return an item of an answer: its id holds that of its response."""
        name = id_.split("_")[1] if "_" in id_ else ""
        found = self._all.get((self._owner, _PREFIX + name))
        output = [] if found is None else from_json(found.response)["output"]
        return next((item for item in output if item["id"] == id_), None)

    def _conversation(self, id_: str) -> list[JsonDict] | None:
        """Return all items up to a response, the earliest first; None if a response is missing."""
        chain: list[tuple[str, _Kept]] = []
        at: str | None = id_
        while at is not None:
            found = self._all.get((self._owner, at))
            if found is None:
                return None
            chain.append((at, found))
            at = found.previous
        # An earlier one is of no less use than those that follow it.
        for key, _ in chain:
            self._all.get((self._owner, key))
        return [item for _, one in reversed(chain) for item in _turn(one)]


def _turn(kept: _Kept) -> Iterator[JsonDict]:
    yield from from_json(kept.items)
    yield from from_json(kept.response)["output"]


def _size(kept: _Kept) -> int:
    return len(kept.response) + len(kept.items)


def _unknown(id_: str) -> GatewayError:
    return GatewayError(
        404,
        f"the response {id_[:80]!r} is not kept here (any more): they are kept while there is room",
        code="response_not_found",
        param="response_id",
    )
