"""The settings of a gateway, validated."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field

from ..config import MIB, check_amount, check_count
from ..errors import ConfigurationError

MIN_TOKEN = 8
"""Characters of the shortest token: a shorter one can be guessed."""


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Settings of a gateway: where it listens, who may call it, and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs a token."""
    port: int = 8800
    """0 takes any free one."""
    tokens: Collection[str] = field(default=(), repr=False)
    """Any of them opens the gateway, as `Authorization: Bearer …` or `x-api-key`. Empty: none is needed."""
    max_body_bytes: int = 64 * MIB
    """A longer request is refused. A prompt of 400 000 tokens takes about 2 MB, an image up to 27 MB."""
    body_timeout: float = 60.0
    """Seconds in which a request must have arrived."""
    heartbeat: float = 10.0
    """Seconds between the heartbeats of an event stream whose answer is awaited."""
    grace: float = 60.0
    """Seconds that calls in flight have to end when the gateway stops."""

    def __post_init__(self) -> None:
        check_count("port", self.port)
        if self.port > 65535:
            raise ConfigurationError(f"port={self.port} must be at most 65535")
        check_count("max_body_bytes", self.max_body_bytes, at_least=1024)
        check_amount("body_timeout", self.body_timeout, above=True)
        check_amount("heartbeat", self.heartbeat, above=True)
        check_amount("grace", self.grace)
        for token in self.tokens:
            if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigurationError(
                    f"a token must have at least {MIN_TOKEN} printable ASCII characters, and no blanks"
                )
        if not self.tokens and not is_loopback(self.host):
            raise ConfigurationError(
                f"host={self.host!r} can be reached from other machines: give a token, or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
