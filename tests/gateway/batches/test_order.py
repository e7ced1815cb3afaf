"""Bodies of `POST /v1/batches`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import to_json

from segmind_async.gateway._batches.batch import BatchOrder
from segmind_async.gateway._batches.order import read_order
from segmind_async.gateway._errors import GatewayError

FIELDS: dict[str, Any] = {
    "input_file_id": "file-1",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}


def test_a_whole_order() -> None:
    more = {
        "endpoint": "/v1/responses",
        "metadata": {"a": "b"},
        "output_expires_after": {"anchor": "created_at", "seconds": 3600},
    }
    assert read_order(to_json({**FIELDS, **more})) == BatchOrder(
        "file-1", "/v1/responses", 24, {"a": "b"}, 3600
    )
    assert read_order(to_json({**FIELDS, "metadata": None})) == BatchOrder(
        "file-1", "/v1/chat/completions", 24
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        pytest.param({"input_file_id": None}, "input_file_id", id="no-file"),
        pytest.param({"input_file_id": 7}, "input_file_id", id="file-of-another-type"),
        pytest.param({"endpoint": "/v1/embeddings"}, "endpoint", id="endpoint"),
        pytest.param({"completion_window": "1d"}, "completion_window", id="unit"),
        pytest.param({"completion_window": "169h"}, "completion_window", id="too-long"),
        pytest.param({"completion_window": "0h"}, "completion_window", id="zero"),
        pytest.param({"metadata": {"a": 1}}, "metadata", id="value-of-metadata"),
        pytest.param({"metadata": {"a" * 65: "b"}}, "metadata", id="name-of-metadata"),
        pytest.param({"metadata": {str(n): "" for n in range(17)}}, "metadata", id="pairs-of-metadata"),
        pytest.param({"output_expires_after": []}, "output_expires_after", id="expiry-of-another-type"),
        pytest.param(
            {"output_expires_after": {"anchor": "created_at"}}, "expires_after.seconds", id="expiry"
        ),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_order(to_json({**FIELDS, **fields}))
    assert (caught.value.status, caught.value.param) == (400, param)
