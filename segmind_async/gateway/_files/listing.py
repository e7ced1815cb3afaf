"""One page of a list, in the form that OpenAI's SDKs page through. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...models import JsonDict
from .._errors import invalid


class Listed(Protocol):
    """An object with an id, as a caller sees it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    def body(self) -> JsonDict:
        """Return it in OpenAI's form."""
        ...


def page_of(found: Sequence[Listed], query: Mapping[str, str], *, limit: int, most: int) -> JsonDict:
    """Return a page of *found*, which is in the order of the list, as *query* asks for it.

    `limit` is 1 to *most*, by default *limit*; `after` is the id of the last object of the page before.
    Raises GatewayError, a 400 that names the parameter.
    """
    size = _limit(query.get("limit"), limit, most)
    start = _start(found, query.get("after"))
    page = found[start : start + size]
    return {
        "object": "list",
        "data": [one.body() for one in page],
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
        "has_more": start + size < len(found),
    }


def _limit(given: str | None, default: int, most: int) -> int:
    if given is None:
        return default
    value = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0
    if not 1 <= value <= most:
        raise invalid(f"'limit' must be a whole number from 1 to {most}", "limit")
    return value


def _start(found: Sequence[Listed], after: str | None) -> int:
    if not after:
        return 0
    for place, one in enumerate(found):
        if one.id == after:
            return place + 1
    raise invalid(f"'after' is {after[:80]!r}, which is none of this list", "after")
