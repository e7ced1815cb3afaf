"""What makes a file none of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async.gateway._batches.check import MOST_ROWS, LineCheck

URL = "/v1/chat/completions"
GOOD: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "gpt-5.4-mini"}}


def looked_at(*lines: dict[str, Any] | str) -> LineCheck:
    check = LineCheck(URL)
    check.all(enumerate(lines, 1))
    return check


def test_good_lines() -> None:
    check = looked_at(GOOD, {**GOOD, "custom_id": "b", "further": 1})
    assert (check.rows, check.problems) == (2, [])


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        pytest.param("not JSON: …", "invalid_json_line", None, id="json"),
        pytest.param({**GOOD}, "duplicate_custom_id", "custom_id", id="duplicate"),
        pytest.param({**GOOD, "custom_id": 7}, "invalid_custom_id", "custom_id", id="id-of-another-type"),
        pytest.param({**GOOD, "custom_id": ""}, "invalid_custom_id", "custom_id", id="empty-id"),
        pytest.param(
            {**GOOD, "custom_id": "\ud800"}, "invalid_custom_id", "custom_id", id="half-a-character"
        ),
        pytest.param({**GOOD, "custom_id": "b", "method": "GET"}, "invalid_method", "method", id="method"),
        pytest.param(
            {**GOOD, "custom_id": "b", "url": "/v1/responses"}, "mismatched_endpoint", "url", id="url"
        ),
        pytest.param({**GOOD, "custom_id": "b", "body": []}, "invalid_body", "body", id="body"),
        pytest.param(
            {**GOOD, "custom_id": "b", "body": {}}, "missing_required_parameter", "body.model", id="model"
        ),
    ],
)
def test_a_bad_line_is_named(line: dict[str, Any] | str, code: str, param: str | None) -> None:
    [problem] = looked_at(GOOD, line).problems
    assert (problem.line, problem.code, problem.param) == (2, code, param)


def test_no_rows() -> None:
    [problem] = looked_at().problems
    assert (problem.code, problem.line) == ("empty_file", None)


def test_too_many_rows() -> None:
    check = LineCheck(URL)
    check.all((n, {**GOOD, "custom_id": str(n)}) for n in range(1, 10**9))
    [problem] = check.problems
    assert (problem.code, problem.line) == ("too_many_rows", MOST_ROWS + 1)


def test_so_many_problems_are_told_and_no_more() -> None:
    assert len(looked_at(*["broken"] * 1000).problems) == 100
