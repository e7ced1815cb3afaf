"""The states of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async.gateway._batches.batch import (
    Batch,
    BatchOrder,
    BatchStatus,
    Problem,
    RequestCounts,
    no_such_batch,
)

ORDER = BatchOrder("file-1", "/v1/chat/completions", 24, {"team": "a"})


def batch(status: str = "validating") -> Batch:
    return Batch("batch_1", "owner", "team", ORDER, 1000.9, BatchStatus(status))


@pytest.mark.parametrize(
    "path",
    [
        ["failed"],
        ["in_progress", "finalizing", "completed"],
        ["in_progress", "finalizing", "expired"],
        ["in_progress", "cancelling", "cancelled"],
        ["cancelling", "cancelled"],
    ],
    ids=">".join,
)
def test_ways_to_the_end(path: list[str]) -> None:
    at = batch()
    for second, status in enumerate(path, 2000):
        assert not at.has_ended
        at = at.moved(BatchStatus(status), second + 0.5)
        assert at.body()[f"{status}_at"] == second
    assert at.has_ended
    assert not at.may_be_cancelled


@pytest.mark.parametrize(
    ("status", "next_"),
    [("completed", "in_progress"), ("validating", "completed"), ("finalizing", "cancelling")],
)
def test_no_other_ways(status: str, next_: str) -> None:
    with pytest.raises(ValueError, match=f"{status} does not become {next_}"):
        batch(status).moved(BatchStatus(next_), 1)


def test_the_object() -> None:
    problem = Problem("invalid_method", "'method' is SG_0123456789abcdef", 3, "method")
    made = Batch("b", "owner", None, ORDER, 1000.9, counts=RequestCounts(3, 2, 1), problems=(problem,))
    body: dict[str, Any] = made.body()
    assert body["created_at"] == 1000
    assert body["expires_at"] == 1000 + 86400
    assert body["completion_window"] == "24h"
    assert body["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert body["metadata"] == {"team": "a"}
    [error] = body["errors"]["data"]
    assert (error["code"], error["line"], error["param"]) == ("invalid_method", 3, "method")
    assert "SG_0123456789abcdef" not in str(body)
    assert "owner" not in body
    assert Batch("b", "o", None, BatchOrder("f", "e", 1), 0.0).body()["errors"] is None
    assert no_such_batch("b").status == 404
