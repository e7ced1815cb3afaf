"""Who may call: the token of a request, the budget it stands for, and the host it was meant for. Pure."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import blake2b
from hmac import compare_digest
from urllib.parse import urlsplit

from .._sending.call_queue import Priority
from .._wire.response_headers import BUDGET, MIN_TIMEOUT, PRIORITY, TIMEOUT
from ..config import Timeouts
from ..errors import ConfigurationError
from ._errors import GatewayError

MIN_TOKEN = 8
"""Characters of the shortest token: a shorter one can be guessed."""

_MAX_TIMEOUT = 7 * 24 * 3600.0
"""Seconds. What is longer is taken for that; no call lasts a week."""


class Tokens:
    """The tokens that open a gateway, as digests. Comparing takes the same time whatever is compared.

    *budgets* are tokens that stand for a budget, with its name.
    """

    def __init__(self, tokens: Collection[str], budgets: Mapping[str, str] | None = None) -> None:
        self._names: list[str | None] = [*([None] * len(tokens)), *(budgets or {}).values()]
        self._digests = [_digest(token) for token in (*tokens, *(budgets or {}))]

    def check(self, headers: Mapping[str, str]) -> str | None:
        """Return the budget that the token of these headers stands for; None for a token of the gateway.

        Raises a 401 for an unknown token; if no tokens are configured, every caller is accepted.
        """
        if not self._digests:
            return None
        given = _digest(token_in(headers))
        # Every token is compared, so that the time taken reveals nothing.
        found = [
            name
            for known, name in zip(self._digests, self._names, strict=True)
            if compare_digest(given, known)
        ]
        if not found:
            raise GatewayError(
                401,
                "the token of this gateway is missing or wrong: send it as 'Authorization: Bearer TOKEN' "
                "(the api_key of an OpenAI SDK)",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found[0]

    def owner(self, headers: Mapping[str, str]) -> str:
        """Return the caller that these headers stand for, as a digest of its token; empty without tokens.

        Without tokens there is one caller: what is sent as a token then is anything.
        """
        return _digest(token_in(headers)).hex()[:32] if self._digests else ""

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


def chosen_budget(own: str | None, headers: Mapping[str, str]) -> str | None:
    """Return the budget a request counts in: that of its token, else the one it names; None for none.

    Raises a 403 for a token of a budget that names another one.
    """
    named = headers.get(BUDGET)
    if named and own is not None and named != own:
        message = f"this token stands for budget {own!r}, and no other"
        raise GatewayError(403, message, "permission_error", "budget_not_allowed")
    return own or named or None


def lowered_priority(own: Priority, headers: Mapping[str, str]) -> Priority | None:
    """Return the priority that a request names, if it is lower than its *own*, that of its budget; else None.

    The owner of a budget has set it: no caller can raise it, and programs of this library name theirs with
    each call. Raises a 400 for an unknown one.
    """
    named = headers.get(PRIORITY)
    if not named:
        return None
    if named not in ("interactive", "bulk"):
        message = f"x-segmind-priority is {named[:40]!r}; use interactive or bulk"
        raise GatewayError(400, message, param=PRIORITY)
    return "bulk" if named == "bulk" and own == "interactive" else None


def chosen_timeout(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a call may take from when it is sent on; None if its caller names none.

    Raises a 400 for what is no such time.
    """
    named = headers.get(TIMEOUT)
    if named is None:
        return None
    try:
        seconds = float(named)
    except ValueError:
        seconds = math.nan
    if not MIN_TIMEOUT <= seconds < math.inf:
        message = f"{TIMEOUT} is {named[:40]!r}; give seconds, at least {MIN_TIMEOUT:g}"
        raise GatewayError(400, message, param=TIMEOUT)
    return min(seconds, _MAX_TIMEOUT)


def within(own: Timeouts, asked: float) -> Timeouts:
    """Return the gateway's *own* timeouts for a call whose caller asks for a shorter total, in seconds."""
    return replace(own, total=asked if own.total is None else min(own.total, asked))


def token_in(headers: Mapping[str, str]) -> str:
    """Return the token a request carries; empty without one."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _digest(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "surrogateescape")).digest()


def checked_token(token: str) -> str:
    """Return *token*; raises ConfigurationError, without quoting it, if it is short or cannot be sent."""
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"a token must have at least {MIN_TOKEN} printable ASCII characters, and no blanks"
        )
    return token


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
