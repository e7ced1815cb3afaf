"""Base URL and API key, validated, and the headers of every request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.segmind.com/v1"

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def headers(key: str) -> Mapping[str, str]:
    """Return the headers of every request, the API key included."""
    return {
        "x-api-key": key,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"segmind-async/{__version__}",
    }


def checked_key(key: str | None) -> str:
    """Return *key*; raises ConfigurationError, without quoting it, if it is missing or cannot be sent."""
    if not key:
        raise ConfigurationError("no API key: pass api_key, or set SEGMIND_API_KEY")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "the API key contains blanks, line breaks or non-printable characters; check how it was read"
        )
    return key


def checked_url(url: str, allow_http: bool) -> str:
    """Return *url* without trailing slashes; raises ConfigurationError if it is invalid or unsafe."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(f"base_url={url!r} must look like {DEFAULT_BASE_URL}")
    if parts.username is not None:
        raise ConfigurationError("base_url must not hold a user name or password")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"base_url={url!r} would send the key in plain text; use https, or pass allow_http=True"
        )
    return url.rstrip("/")
