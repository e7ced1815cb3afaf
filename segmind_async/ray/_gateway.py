"""The one gateway of a key as an actor, on the machine of the driver.

Ray starts it again if its process dies, at the same port: calls wait meanwhile. What was in flight is in its
state file, so the floor and the credits hold over that.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from anyio.from_thread import start_blocking_portal

from .._jobs.journal.lock import Lock
from ..client import SegmindClient
from ..config import Limits
from ..errors import ConfigurationError
from ..gateway import BudgetRule, Gateway, GatewayOptions
from ._engine import cluster_errors, engine

_BUDGET = "job"

_GONE_WITHIN = 60.0
"""Seconds within which Ray ends the actors of a driver that was killed."""

_LOOK_EVERY = 0.2
"""Seconds between two looks at whether it is gone."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What holds for the sum of all workers."""

    limits: Limits = field(default_factory=Limits)
    """Calls in flight, pace and floor of the key."""
    max_credits: Decimal | None = None
    """Credits that the job may cost over all its runs; None: any amount."""
    base_url: str | None = None
    """The service; None: as of `SegmindClient`, by the environment of the driver."""
    api_keys: tuple[str, ...] | None = field(default=None, repr=False)
    """Keys of the accounts; None: those of the environment of the driver."""


def options_of(settings: GatewaySettings, journal: Path, host: str, port: int) -> GatewayOptions:
    """Return the options of the gateway of a job: a new token, and its state beside the journals."""
    token = secrets.token_urlsafe(24)
    rules = (BudgetRule(_BUDGET, token, credits=settings.max_credits),)
    # A caller that has gone has died, and its calls that wait are better not sent: nobody asks again in time.
    return GatewayOptions(host, port, budgets=rules, state=journal / "gateway.db", repeat_wait=0)


class GatewayHost:
    """Runs a gateway in a thread of its own from its construction on; the class of the actor.

    What keeps it from starting is raised by `address`: an error of a constructor reaches nobody as it is.
    """

    def __init__(
        self, settings: GatewaySettings, options: GatewayOptions, environment: Mapping[str, str] | None = None
    ) -> None:
        # A node of a cluster that was started elsewhere has another environment than the driver.
        os.environ.update(environment or {})
        self._options = options
        self._url = ""
        self._problem: Exception | None = None
        self._stack = ExitStack()
        try:
            self._start(settings)
        except Exception as error:  # noqa: BLE001  # raised by `address`
            self._problem = error

    def __repr__(self) -> str:
        return f"GatewayHost({self._url or 'not started'})"

    def _start(self, settings: GatewaySettings) -> None:
        state = self._options.state
        if state is not None:
            state.parent.mkdir(parents=True, exist_ok=True)
            _wait_for(Lock(state.with_name(state.name + ".lock")))
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            client = portal.call(_client, settings)
            stack.enter_context(portal.wrap_async_context_manager(client))
            gateway = portal.wrap_async_context_manager(Gateway(client, self._options))
            self._url = stack.enter_context(gateway).url
            self._stack = stack.pop_all()

    def address(self) -> tuple[str, str]:
        """Return the URL and the token of the gateway; raises what has kept it from starting."""
        if self._problem is not None:
            raise self._problem
        (rule,) = self._options.budgets
        assert rule.token is not None
        return self._url, rule.token

    def close(self) -> None:
        """Stop it: no new calls, and those in flight may end."""
        self._stack.close()


def _wait_for(lock: Lock) -> None:
    """Wait until the gateway of a driver that was killed is gone too; of one that stays, the book tells."""
    deadline = monotonic() + _GONE_WITHIN
    while lock.holder() is not None and monotonic() < deadline:
        sleep(_LOOK_EVERY)


async def _client(settings: GatewaySettings) -> SegmindClient:
    return SegmindClient(None, settings.base_url, limits=settings.limits, api_keys=settings.api_keys)


@dataclass(frozen=True, slots=True)
class ActorDoor:
    """The gateway as its users know it: a handle of its actor, which lives as long as one of these does."""

    actor: Any

    def address(self) -> tuple[str, str]:
        """Wait until the gateway listens; return its URL and its token."""
        with cluster_errors():
            url, token = engine().get(self.actor.address.remote())
        return url, token


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """A gateway that runs already, such as `segmind-async serve`."""

    url: str
    """Its base URL, with `/v1`. Plain HTTP is accepted: the token opens only the gateway."""
    token: str = field(default="unused", repr=False)

    def address(self) -> tuple[str, str]:
        """Return the URL and the token."""
        return self.url, self.token


_STARTED: dict[tuple[str, Path], tuple[GatewaySettings, ActorDoor]] = {}
"""Gateways of this driver, by its id and the folder of their journals: all its datasets share them."""


def start_gateway(settings: GatewaySettings, journal: Path) -> ActorDoor:
    """Start the gateway of the job with this folder of journals, as an actor on the machine of the driver.

    It lives as long as the driver, and Ray starts it again if it dies. Raises ConfigurationError if it cannot
    start, such as without a key, or runs with other settings.
    """
    driver = engine().get_runtime_context()
    name = (str(driver.get_job_id()), journal.resolve())
    if name in _STARTED:
        known, door = _STARTED[name]
        if known != settings:
            raise ConfigurationError(f"gateway={settings}: that of {str(journal)!r} runs with {known}")
        return door
    door = _start(settings, journal, str(driver.get_node_id()))
    door.address()
    _STARTED[name] = settings, door
    return door


def _start(settings: GatewaySettings, journal: Path, node: str) -> ActorDoor:
    ray = engine()
    host = ray.util.get_node_ip_address()
    options = options_of(settings, journal, host, _free_port(host))
    actor = ray.remote(GatewayHost).options(
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False),
    )
    return ActorDoor(actor.remote(settings, options, own_environment()))


def own_environment() -> dict[str, str]:
    """Return the variables of this process that concern this library."""
    return {name: value for name, value in os.environ.items() if name.startswith("SEGMIND_")}


def _free_port(host: str) -> int:
    """Return a port that nobody listens on, which the gateway keeps when it is started again."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
