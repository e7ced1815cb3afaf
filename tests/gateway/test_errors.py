"""Every error of the library as an answer in OpenAI's envelope, with what tells an SDK whether to repeat it."""

from __future__ import annotations

from decimal import Decimal

import pytest

import segmind_async as sa
from segmind_async import errors
from segmind_async.gateway._errors import GatewayError, gateway_error_of, headers_of
from segmind_async.gateway._openai.envelope import envelope

DOUBTED = sa.ErrorDetails(in_doubt=1, cost=Decimal("0.1"), request_id="req-1")


@pytest.mark.parametrize(
    ("error", "status", "code", "repeated"),
    [
        (sa.InvalidRequestError("m"), 400, None, False),
        (sa.BadRequestError("m"), 400, None, False),
        (sa.NotFoundError("m"), 404, "model_not_found", False),
        (sa.ModelRetiredError("m"), 404, "model_retired", False),
        (sa.ToolsNotSupportedError("m"), 400, "tools_not_supported", False),
        (sa.AuthenticationError("m"), 502, "upstream_key_refused", False),
        (sa.PermissionDeniedError("m"), 403, "model_not_allowed", False),
        (sa.InsufficientCreditsError("m"), 402, "insufficient_quota", False),
        (sa.SpendLimitError("m"), 402, "insufficient_quota", False),
        (sa.BudgetExceededError("m"), 402, "insufficient_quota", False),
        (sa.RateLimitError("m"), 503, "upstream_rate_limited", True),
        (sa.APITimeoutError("m"), 504, "timeout", True),
        (sa.APITimeoutError("m", DOUBTED), 504, "timeout", False),
        (sa.APIConnectionError("m"), 502, "upstream_unreachable", True),
        (sa.APIConnectionError("m", DOUBTED), 502, "upstream_unreachable", False),
        (sa.ServerError("m"), 502, "upstream_failed", True),
        (sa.InvalidResponseError("m"), 502, "upstream_unreadable", False),
        (sa.ClientClosedError("m"), 503, "shutting_down", True),
        (sa.ConfigurationError("m"), 500, None, True),
    ],
)
def test_each_error_has_its_status_and_says_whether_to_repeat(
    error: sa.SegmindError, status: int, code: str | None, repeated: bool
) -> None:
    told = gateway_error_of(error)
    assert (told.status, told.code, told.message) == (status, code, "m")
    assert ("x-should-retry" not in headers_of(told)) is repeated
    assert ("Retry-After" in headers_of(told)) is (status == 503)


def test_a_timeout_that_its_caller_has_named_is_final_and_says_what_it_took() -> None:
    error = sa.APITimeoutError("m", sa.ErrorDetails(elapsed=2.5))
    assert headers_of(gateway_error_of(error)) == {"x-segmind-elapsed": "2.500"}
    assert headers_of(gateway_error_of(error, timed=True))["x-should-retry"] == "false"
    assert headers_of(gateway_error_of(sa.ServerError("m"), timed=True)) == {}


def test_no_error_of_the_library_is_forgotten() -> None:
    known = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, sa.SegmindError)
    ]
    unmapped = {kind.__name__ for kind in known if gateway_error_of(kind("m")).status == 500}
    # Those that no single chat raises.
    assert unmapped == {
        "SegmindError", "ConfigurationError", "AgentLimitError", "CreditsError", "AccessError", "TransientError", "RequestError",
    } - {"CreditsError", "RequestError"}  # fmt: skip


def test_the_envelope_is_openais() -> None:
    error = gateway_error_of(sa.NotFoundError("no such model"))
    assert envelope(error) == {
        "error": {
            "message": "no such model",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_a_key_in_a_message_is_redacted() -> None:
    assert "SG_deadbeef" not in str(envelope(GatewayError(400, "not 'SG_deadbeef'")))


def test_what_a_failed_call_cost_and_its_id_are_told() -> None:
    error = gateway_error_of(sa.InvalidResponseError("m", DOUBTED))
    assert (error.cost, error.request_id) == (Decimal("0.1"), "req-1")


@pytest.mark.parametrize(("waits", "header"), [(None, "1"), (0.2, "1"), (2.5, "3")])
def test_the_wait_is_whole_seconds_and_at_least_one(waits: float | None, header: str) -> None:
    error = gateway_error_of(sa.RateLimitError("m", sa.ErrorDetails(retry_after=waits)))
    assert headers_of(error)["Retry-After"] == header


def test_a_full_queue_is_repeated() -> None:
    full = GatewayError(429, "m", retry_after=4, headers={"x-a": "b"})
    assert headers_of(full) == {"Retry-After": "4", "x-a": "b"}
