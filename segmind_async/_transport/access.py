"""Base URL and API key, validated, and the headers of every request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from .._version import __version__
from .._wire.response_headers import BUDGET_NAME
from ..config import Environment, check_separated
from ..errors import ConfigurationError
from .direct.content_coding import ACCEPTED

DEFAULT_BASE_URL = "https://api.segmind.com/v1"

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(rb"[A-Za-z0-9._-]+")


def headers(key: str) -> Mapping[str, str]:
    """Return the headers of every request, the API key included."""
    return {
        "x-api-key": key,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": ACCEPTED,
        "User-Agent": f"segmind-async/{__version__}",
    }


def checked_key(key: object, name: str = "the API key") -> str:
    """Return *key*; raises ConfigurationError, without quoting it, if it is missing or cannot be sent.

    *name* is what the error calls it.
    """
    if key is None or key == "":
        raise ConfigurationError(f"no API key: {name} is empty; pass api_key, or set SEGMIND_API_KEY")
    if not isinstance(key, str):
        raise ConfigurationError(f"{name} is of type {type(key).__name__}; pass a str")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"{name} contains blanks, line breaks or non-printable characters; check how it was read"
        )
    return key


def checked_keys(api_key: str | None, api_keys: Sequence[str] | None, environment: Environment) -> list[str]:
    """Return the keys of a client, of which there is at least one.

    Raises ConfigurationError, without quoting any, if none is given, or they are invalid or the same.
    """
    if isinstance(api_keys, str | bytes):
        raise ConfigurationError("api_keys is one text: pass a list of keys, or api_key")
    if api_keys is not None and api_key is not None:
        raise ConfigurationError("pass api_key or api_keys, not both")
    if api_keys is None and api_key is None:
        check_separated("SEGMIND_API_KEYS", environment.api_keys)
        api_keys = environment.api_keys or None
    if api_keys is None:
        return [checked_key(environment.api_key if api_key is None else api_key)]
    if not isinstance(api_keys, Iterable):
        raise ConfigurationError(f"api_keys is of type {type(api_keys).__name__}; pass a list of keys")
    keys = [checked_key(key, f"api_keys[{place}]") for place, key in enumerate(api_keys)]
    if not keys:
        raise ConfigurationError("api_keys is empty: pass at least one key")
    if len({*keys}) < len(keys):
        raise ConfigurationError("api_keys holds a key twice: its balance would count twice")
    return keys


def checked_url(url: str, allow_http: bool) -> str:
    """Return *url* without trailing slashes; raises ConfigurationError if it is invalid or unsafe."""
    try:
        if not url.isprintable() or " " in url:
            raise ValueError("it contains blanks or non-printable characters")
        parts = urlsplit(url)
        host = _checked_host(parts)
    except ValueError as error:
        raise ConfigurationError(f"base_url={url!r} must look like {DEFAULT_BASE_URL}: {error}") from error
    if parts.username is not None:
        raise ConfigurationError("base_url must not hold a user name or password")
    if parts.scheme == "http" and host not in LOOPBACK and not allow_http:
        raise ConfigurationError(
            f"base_url={url!r} would send the key in plain text; use https, or pass allow_http=True"
        )
    return url.rstrip("/")


def check_gateway(url: str, budget: str | None) -> None:
    """Raise ConfigurationError unless *url* may be that of a gateway, and *budget* the name of one there."""
    if url == DEFAULT_BASE_URL:
        raise ConfigurationError(
            "SEGMIND_GATEWAY or a gateway_budget is set, but base_url is the service's own: set "
            "SEGMIND_BASE_URL too"
        )
    if budget is not None and not BUDGET_NAME.fullmatch(budget):
        raise ConfigurationError(
            f"gateway_budget={budget!r} names no budget: letters, digits, '.', '_' and '-', 64 at most"
        )


def _checked_host(parts: SplitResult) -> str:
    """Return the host of a URL; raises ValueError if host, port or any other part is invalid."""
    host = parts.hostname
    if parts.scheme not in {"http", "https"}:
        raise ValueError("it must begin with https://")
    if parts.query or parts.fragment:
        raise ValueError("it must have neither a query nor a fragment")
    if not host:
        raise ValueError("it has no host")
    if parts.port == 0:
        raise ValueError("the port must be 1 to 65535")
    if ":" in host:
        ip_address(host.partition("%")[0])
    elif not _HOST.fullmatch(host.encode("idna")):  # a UnicodeError is a ValueError
        raise ValueError("its host has characters that no host name has")
    return host
