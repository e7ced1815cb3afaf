"""Pages of lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._files.listing import page_of
from segmind_async.models import JsonDict


@dataclass
class One:
    id: str

    def body(self) -> JsonDict:
        return {"id": self.id}


FOUND = [One(name) for name in "abcde"]


@pytest.mark.parametrize(
    ("query", "ids", "more"),
    [
        pytest.param({}, "abc", True, id="default-limit"),
        pytest.param({"limit": "2"}, "ab", True, id="limit"),
        pytest.param({"limit": "2", "after": "b"}, "cd", True, id="after"),
        pytest.param({"after": "c"}, "de", False, id="last-page"),
        pytest.param({"after": "e"}, "", False, id="after-the-last"),
        pytest.param({"after": ""}, "abc", True, id="after-nothing"),
    ],
)
def test_pages(query: dict[str, str], ids: str, more: bool) -> None:
    page: dict[str, Any] = page_of(FOUND, query, limit=3, most=4)
    assert [one["id"] for one in page["data"]] == [*ids]
    assert page["has_more"] is more
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@pytest.mark.parametrize("limit", ["0", "5", "-1", "x", "", "²", "9" * 5000])
def test_a_limit_that_is_none(limit: str) -> None:
    with pytest.raises(GatewayError, match="from 1 to 4") as caught:
        page_of(FOUND, {"limit": limit}, limit=3, most=4)
    assert (caught.value.status, caught.value.param) == (400, "limit")


def test_after_an_unknown_id() -> None:
    with pytest.raises(GatewayError, match="none of this list"):
        page_of(FOUND, {"after": "z"}, limit=3, most=4)
