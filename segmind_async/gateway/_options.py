"""The settings of a gateway, validated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..config import MIB, check_amount, check_choice, check_count
from ..errors import ConfigurationError
from ._access import checked_token, is_loopback
from ._budgets.rules import BudgetRule, check_rules
from ._files.store import FileLimits, check_limits


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """Settings of a gateway: where it listens, who may call it, and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on. Any but loopback needs a token."""
    port: int = 8800
    """0 takes any free one."""
    tokens: Collection[str] = field(default=(), repr=False)
    """Any of them opens the gateway, as `Authorization: Bearer …` or `x-api-key`. Empty: none is needed."""
    budgets: Sequence[BudgetRule] = ()
    """Budgets, each with the token that stands for it."""
    state: Path | None = None
    """SQLite file that keeps what budgets have spent, and what is in flight: after a crash the next gateway
    holds that as perhaps billed. Needed if a budget has credits; None: nothing is kept."""
    max_calls: int = 1024
    """Calls that are taken at once, those that wait included, for each budget and for all without one. One
    more is refused with a 429."""
    max_bytes: int = 512 * MIB
    """Bytes of the requests that are taken at once; one that exceeds them is refused with a 429."""
    max_body_bytes: int = 64 * MIB
    """A longer request is refused. A prompt of 400 000 tokens takes about 2 MB, an image up to 27 MB."""
    body_timeout: float = 60.0
    """Seconds in which a request must have arrived."""
    heartbeat: float = 10.0
    """Seconds between the heartbeats of an event stream whose answer is awaited."""
    repeat_wait: float = 10.0
    """Seconds that a call goes on, and its answer is kept, after an SDK gave up at its timeout: its repeat
    then gets that answer. SDKs of OpenAI repeat within 8 s. 0: it is cancelled at once."""
    max_kept_bytes: int = 64 * MIB
    """Memory for responses (`POST /v1/responses`) to which later requests may refer; those unused for longest
    are dropped. 0: none is kept."""
    tools_via: Literal["auto", "native", "schema"] = "auto"
    """How tools reach the models: by the providers' function calling (`native`), or by a structured output
    that holds the calls (`schema`). `auto` finds out for each model."""
    files: Path | None = None
    """Folder for the files of `/v1/files` and for batches, made if it is not there, of one gateway at a time.
    It also keeps what is in flight, unless `state` does. None: neither files nor batches are served."""
    max_file_bytes: int = 200 * MIB
    """A longer upload is refused."""
    max_files: int = 1000
    """Files that each caller may have, with those that batches have written; one more upload is refused."""
    max_stored_bytes: int = 8 * 1024 * MIB
    """Bytes of all files of each caller; an upload that would exceed them is refused."""
    grace: float = 60.0
    """Seconds that calls in flight have to end when the gateway stops."""

    def __post_init__(self) -> None:
        check_count("port", self.port)
        if self.port > 65535:
            raise ConfigurationError(f"port={self.port} must be at most 65535")
        check_count("max_body_bytes", self.max_body_bytes, at_least=1024)
        check_amount("body_timeout", self.body_timeout, above=True)
        check_amount("heartbeat", self.heartbeat, above=True)
        check_amount("repeat_wait", self.repeat_wait)
        check_amount("grace", self.grace)
        check_choice("tools_via", self.tools_via, ("auto", "native", "schema"))
        check_count("max_calls", self.max_calls, at_least=1)
        check_count("max_kept_bytes", self.max_kept_bytes)
        check_count("max_bytes", self.max_bytes, at_least=1024)
        check_limits(self.file_limits)
        for token in self.tokens:
            checked_token(token)
        check_rules(self.budgets)
        if {rule.token for rule in self.budgets} & {*self.tokens}:
            raise ConfigurationError("a budget has the token of the gateway: give it one of its own")
        if self.book is None and any(rule.cap is not None for rule in self.budgets):
            raise ConfigurationError(
                "budgets with credits need a file that keeps what they have spent: state=…"
            )
        if not self.needs_token and not is_loopback(self.host):
            raise ConfigurationError(
                f"host={self.host!r} can be reached from other machines: give a token (serve --token), "
                "or listen on 127.0.0.1"
            )

    @property
    def file_limits(self) -> FileLimits:
        """How much each caller may store."""
        return FileLimits(self.max_file_bytes, self.max_files, self.max_stored_bytes)

    @property
    def book(self) -> Path | None:
        """The file that keeps what is spent and in flight: `state`, else one in the folder `files`."""
        return self.files / "state.db" if self.state is None and self.files is not None else self.state

    @property
    def needs_token(self) -> bool:
        """Whether callers must send a token."""
        return bool(self.tokens) or any(rule.token is not None for rule in self.budgets)
