"""Status and text into a FailureKind, and a FailureKind into the caller's error."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._wire.failures import (
    Billing,
    Failure,
    FailureKind,
    Resend,
    error_text,
    refusal,
    unreadable,
)
from segmind_async._wire.redaction import Redactor


def refused(status: int, text: str = "", **more: Any) -> Failure:
    return refusal(status, {}, json.dumps({"error": text}).encode(), None, **more)


@pytest.mark.parametrize(
    ("status", "error", "resend"),
    [
        (301, sa.InvalidResponseError, Resend.NEVER),
        (307, sa.InvalidResponseError, Resend.NEVER),
        (400, sa.BadRequestError, Resend.NEVER),
        (401, sa.AuthenticationError, Resend.NEVER),
        (402, sa.InsufficientCreditsError, Resend.WHEN_FUNDED),
        (403, sa.PermissionDeniedError, Resend.NEVER),
        (404, sa.NotFoundError, Resend.NEVER),
        (405, sa.BadRequestError, Resend.NEVER),
        (407, sa.BadRequestError, Resend.NEVER),
        (408, sa.ServerError, Resend.YES),
        (410, sa.ModelRetiredError, Resend.NEVER),
        (411, sa.BadRequestError, Resend.NEVER),
        (413, sa.BadRequestError, Resend.NEVER),
        (415, sa.BadRequestError, Resend.NEVER),
        (418, sa.BadRequestError, Resend.NEVER),
        (422, sa.BadRequestError, Resend.NEVER),
        (425, sa.ServerError, Resend.YES),
        (429, sa.RateLimitError, Resend.WHEN_OPEN),
        (500, sa.ServerError, Resend.RARELY),
        (501, sa.InvalidResponseError, Resend.NEVER),
        (502, sa.ServerError, Resend.YES),
        (503, sa.ServerError, Resend.YES),
        (504, sa.ServerError, Resend.YES),
        (505, sa.InvalidResponseError, Resend.NEVER),
        (520, sa.ServerError, Resend.YES),
        (524, sa.ServerError, Resend.YES),
        (529, sa.ServerError, Resend.YES),
    ],
)
def test_statuses(status: int, error: type[sa.SegmindError], resend: Resend) -> None:
    failure = refused(status)
    assert failure.resend is resend
    assert failure.billing is Billing.REFUSED
    assert type(failure.error(sa.ErrorDetails(status=status))) is error
    assert failure.message


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 299])
def test_another_status_of_success_may_have_been_billed(status: int) -> None:
    failure = refused(status)
    assert (failure.billing, failure.resend, failure.status) == (Billing.IN_DOUBT, Resend.YES, status)
    assert failure.message.startswith(f"HTTP {status}, but")
    assert type(failure.error(sa.ErrorDetails(status=status))) is sa.InvalidResponseError


def test_an_error_body_is_read_up_to_what_an_error_keeps() -> None:
    long = b'{"error": "' + b"x" * 10_000_000 + b'"}'
    failure = refusal(503, {}, long, None)
    assert len(failure.body) == sa.errors.MAX_BODY
    assert len(failure.message) < 600


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Insufficient credits", FailureKind.OUT_OF_CREDITS),
        ("insufficient funds in wallet", FailureKind.OUT_OF_CREDITS),
        ("Please top up", FailureKind.OUT_OF_CREDITS),
        ("Please top-up your account", FailureKind.OUT_OF_CREDITS),
        ("", FailureKind.OUT_OF_CREDITS),
        ("Invalid content type", FailureKind.BAD_REQUEST),
        ("Unsupported Content-Type: your balance is fine", FailureKind.BAD_REQUEST),
        ("Team member spend limit reached: monthly cap of 5 credits", FailureKind.SPEND_LIMIT),
        ("Member's daily limit of 5 credits is exceeded", FailureKind.SPEND_LIMIT),
        ("temperature must be at most 2", FailureKind.BAD_REQUEST),
    ],
)
def test_the_causes_of_a_406(text: str, kind: FailureKind) -> None:
    assert refused(406, text).kind is kind


@pytest.mark.parametrize(
    ("text", "balance", "needed"),
    [
        ("Insufficient credits: balance is 0.5, this call needs 0.75", "0.5", "0.75"),
        ("You have 1.25 credits remaining; 2e-05 more required than 3", "1.25", "3"),
        ("Insufficient credits. Required: 0.10. Available: 0.05.", "0.05", "0.10"),
        ("Insufficient credits", None, None),
    ],
)
def test_amounts_are_read_from_the_text_of_a_406(text: str, balance: str | None, needed: str | None) -> None:
    error = refused(406, text).error(sa.ErrorDetails(status=406), Decimal(1))
    assert isinstance(error, sa.InsufficientCreditsError)
    assert error.balance == (None if balance is None else Decimal(balance))
    assert error.needed == (None if needed is None else Decimal(needed))
    assert error.floor == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "a\\n b"}', "a b"),
        (b'{"error": {"message": "deep", "code": 1}}', "deep"),
        (b'{"error": {"code": 1}, "message": "beside"}', "beside"),
        (b'{"detail": [{"loc": ["body"]}]}', "[{'loc': ['body']}]"),
        (b'{"message": "m"}', "m"),
        (b'{"code": 5}', "{'code': 5}"),
        (b"{}", ""),
        (b"", ""),
        (b"plain words", "plain words"),
        (b"<html><head><title>502 Bad\nGateway</title></head><body>x</body></html>", "502 Bad Gateway"),
        (b"<p>No <b>title</b></p>", "No title"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": "' + b"x" * 9999 + b'"}', "x" * 499 + "…"),
    ],
)
def test_error_texts_are_one_line(body: bytes, text: str) -> None:
    assert error_text(body) == text


def test_an_unreadable_answer_is_in_doubt() -> None:
    failure = unreadable("empty", {"x-request-id": "r"}, b"x" * 100_000)
    assert (failure.billing, failure.resend, failure.request_id) == (Billing.IN_DOUBT, Resend.YES, "r")
    assert len(failure.body) == 64 * 1024
    assert unreadable("long", {}, b"", FailureKind.TOO_LARGE).resend is Resend.NEVER


def test_the_cause_is_kept() -> None:
    cause = OSError("reset")
    failure = Failure(FailureKind.DISCONNECTED, "lost", Billing.IN_DOUBT, cause=cause)
    error = failure.error(sa.ErrorDetails())
    assert error.__cause__ is cause
    assert isinstance(error, ConnectionError)


def test_the_redactor_removes_the_key_from_every_text() -> None:
    key = "odd-key-without-prefix"
    redactor = Redactor(key)
    failure = Failure(
        FailureKind.BAD_REQUEST,
        f"bad {key} and SG_other1",
        Billing.REFUSED,
        body=f"{key} SG_other2".encode(),
        headers={"x-echo": f"{key} SG_other3"},
    )
    shown = repr(redactor.failure(failure))
    assert key not in shown
    assert "other" not in shown
    assert shown.count("SG_[redacted]") == 6
    assert key not in repr(redactor)


def test_the_redactor_cannot_be_pickled() -> None:
    import pickle

    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Redactor("k"))
