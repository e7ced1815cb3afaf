"""Read the body of `POST /v1/batches`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._errors import invalid
from .._files.stored_file import expiry_of
from .._openai.request_fields import (
    Fields,
    FieldTypes,
    check_types,
    is_object,
    is_text,
    read_body,
    unsupported,
)
from .batch import BatchOrder
from .rows import ENDPOINTS

_WINDOW = re.compile(r"([1-9]\d{0,2})h", re.ASCII)
_LONGEST_WINDOW = 168
"""Hours. OpenAI knows 24 only; a job with a small budget a day may take a week."""

_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
"""Pairs of metadata, and characters of their names and values, as OpenAI bounds them."""


def read_order(body: bytes) -> BatchOrder:
    """Read a request; raises GatewayError, a 400 that names the field."""
    fields: Fields = {**read_body(body)}
    check_types(fields, _TYPES)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if name not in fields:
            raise invalid(f"'{name}' is missing", name, "missing_required_parameter")
    endpoint: str = fields["endpoint"]
    if endpoint not in ENDPOINTS:
        raise unsupported("endpoint", f"use one of {', '.join(ENDPOINTS)}")
    expiry = fields.get("output_expires_after") or {}
    return BatchOrder(
        fields["input_file_id"],
        endpoint,
        _window(fields["completion_window"]),
        _metadata(fields.get("metadata")),
        expiry_of(expiry.get("anchor"), expiry.get("seconds")),
    )


_TYPES: FieldTypes = {
    "input_file_id": (is_text, "a string"),
    "endpoint": (is_text, "a string"),
    "completion_window": (is_text, "a string"),
    "metadata": (is_object, "an object"),
    "output_expires_after": (is_object, "an object"),
}


def _window(given: str) -> int:
    """Return the hours of a window such as `24h`."""
    found = _WINDOW.fullmatch(given)
    hours = 0 if found is None else int(found.group(1))
    if not 1 <= hours <= _LONGEST_WINDOW:
        raise invalid(
            f"'completion_window' must be hours such as '24h', at most '{_LONGEST_WINDOW}h'",
            "completion_window",
        )
    return hours


def _metadata(given: Mapping[str, object] | None) -> Mapping[str, str] | None:
    if given is None:
        return None
    pairs: dict[str, str] = {}
    for name, value in given.items():
        if not isinstance(value, str) or len(name) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise invalid(
                f"'metadata' must be strings, names of at most {_LONGEST_KEY} characters and values of at "
                f"most {_LONGEST_VALUE}",
                "metadata",
            )
        pairs[name] = value
    if len(pairs) > _MOST_METADATA:
        raise invalid(f"'metadata' must have at most {_MOST_METADATA} pairs", "metadata")
    return pairs
