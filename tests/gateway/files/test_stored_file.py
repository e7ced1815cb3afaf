"""What is kept of a file, and what an upload may say of it."""

from __future__ import annotations

import pytest

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._files.stored_file import (
    StoredFile,
    check_purpose,
    expiry_of,
    no_such_file,
    shown_name,
)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rows.jsonl", "rows.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\rows.jsonl", "rows.jsonl"),
        ("a\0b\x1b[2Jc", "a\ufffdb\ufffd[2Jc"),
        (None, "upload.jsonl"),
        ("x/", "upload.jsonl"),
        ("n" * 300, "n" * 255),
    ],
    ids=["plain", "path", "backslashes", "control", "none", "folder", "long"],
)
def test_a_name_is_no_path(given: str | None, shown: str) -> None:
    assert shown_name(given) == shown


def test_purposes() -> None:
    check_purpose("batch")
    for given in (None, "vision"):
        with pytest.raises(GatewayError, match="for 'batch' only") as caught:
            check_purpose(given)
        assert caught.value.param == "purpose"


@pytest.mark.parametrize(
    ("anchor", "seconds", "found"),
    [(None, None, None), ("created_at", "3600", 3600), ("created_at", 86400, 86400)],
    ids=["never", "form", "json"],
)
def test_expiry(anchor: object, seconds: object, found: int | None) -> None:
    assert expiry_of(anchor, seconds) == found


@pytest.mark.parametrize(
    ("anchor", "seconds"),
    [
        ("now", 3600),
        ("created_at", None),
        ("created_at", 3599),
        ("created_at", "9" * 99),
        ("created_at", True),
        ("created_at", 1e4),
        ("created_at", "²³²³"),
    ],
)
def test_an_expiry_that_is_none(anchor: object, seconds: object) -> None:
    with pytest.raises(GatewayError, match="expires_after"):
        expiry_of(anchor, seconds)


def test_the_object() -> None:
    file = StoredFile("file-1", "owner", "a.jsonl", 7, "batch", 100.7)
    assert file.expiring(3600).body() == {
        "id": "file-1",
        "object": "file",
        "bytes": 7,
        "created_at": 100,
        "expires_at": 3700,
        "filename": "a.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    assert file.expiring(None) == file
    assert "owner" not in str(file.body())
    assert no_such_file("x" * 500).status == 404
