"""Who may call: the token of a request, and the host it was meant for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from hmac import compare_digest
from urllib.parse import urlsplit

from ._errors import GatewayError
from ._options import is_loopback


class Tokens:
    """The tokens that open a gateway, as digests. Comparing takes the same time whatever is compared."""

    def __init__(self, tokens: Collection[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise a 401 if no token of these headers is one of them; without any, all are let in."""
        if not self._digests:
            return
        given = _digest(_token_in(headers))
        # All of them, in any case: how long it takes tells nothing.
        if sum(compare_digest(given, known) for known in self._digests) == 0:
            raise GatewayError(
                401,
                "the token of this gateway is missing or wrong: send it as 'Authorization: Bearer TOKEN' "
                "(the api_key of an OpenAI SDK)",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def check_host(self, host: str) -> None:
        """Raise a 403 for a host that is not this machine, if no token protects the gateway.

        A page of any site can make a browser call a port of this machine, by a name that its owner has
        pointed here; the name then stands in the header `Host`.
        """
        if self._digests:
            return
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if not is_loopback(name):
            raise GatewayError(
                403,
                f"this gateway has no token, and answers to localhost only, not to {host[:80]!r}",
                "permission_error",
                "host_not_allowed",
            )


def _token_in(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _digest(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "surrogateescape")).digest()
