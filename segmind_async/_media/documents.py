"""Recognise PDF documents by their bytes, and put them into messages. Nothing is decoded, no file is read.

The form is OpenAI's content part of type `file` (API reference, chat completions, 2026-08). A document on the
web is written with `file_url`, as in OpenAI's Responses API; providers that take none refuse it.
"""

from __future__ import annotations

import base64

from ..errors import InvalidRequestError
from ..models import JsonDict
from .parts import check_size

SPLIT = "split it, or send the pages that matter"
"""The way out for a large document."""

MEDIA_TYPE = "application/pdf"
_START, _END = b"%PDF-", b"%%EOF"
_START_WITHIN = 1024
"""Readers take a PDF that begins within its first 1024 bytes (PDF Reference 1.7, appendix H)."""


def file_part(filename: str, file_data: str) -> JsonDict:
    """Return a part of type `file` that holds a data URL, in OpenAI's form."""
    return {"type": "file", "file": {"filename": filename, "file_data": file_data}}


def file_url_part(filename: str, url: str) -> JsonDict:
    """Return a part of type `file` that the provider is to fetch from the web."""
    return {"type": "file", "file": {"filename": filename, "file_url": url}}


def document_part(data: bytes, filename: str, name: str) -> JsonDict:
    """Return a part that holds the PDF itself; *name* is what errors call it.

    Raises InvalidRequestError for a file that is not a whole PDF, or is too long.
    """
    check_size(len(data), name, SPLIT)
    if data.find(_START, 0, _START_WITHIN + len(_START)) < 0:
        start = f"begins with {data[:8].hex(' ')}" if data else "is empty"
        raise InvalidRequestError(
            f"{name} {start}: not a PDF; convert it to one, send text as text, and pictures with image()"
        )
    if data.rfind(_END) < 0:
        raise InvalidRequestError(f"{name} is a truncated PDF: its end marker is missing")
    return file_part(filename, f"data:{MEDIA_TYPE};base64,{base64.b64encode(data).decode('ascii')}")
