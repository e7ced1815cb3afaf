"""The head of a request, rendered once for each path and key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from yarl import URL

MakeHead = Callable[[str, bool], bytes]
"""Returns the head for a URL; with a body it lacks the length of the body and the empty line."""


def renderer(headers: Mapping[str, str]) -> MakeHead:
    """Return what renders heads with these headers; they, and so the key, are in no attribute of it."""

    @lru_cache(maxsize=64)
    def render(address: str, has_body: bool) -> bytes:
        url = URL(address)
        lines = [
            f"{'POST' if has_body else 'GET'} {url.raw_path_qs} HTTP/1.1",
            f"Host: {url.host_port_subcomponent}",
            *(f"{name}: {value}" for name, value in headers.items()),
            "Content-Length: " if has_body else "\r\n",
        ]
        return "\r\n".join(lines).encode("ascii")

    return render


def more_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return the lines of further headers."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii") if headers else b""
