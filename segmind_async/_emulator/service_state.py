"""The service's accounts, reservations, rate windows and in-flight limits. No IO, no clock.

Time is passed as `now`, in seconds from any zero; random numbers come from a seeded generator. A simulation
can drive it without a server. Behaviour that the published documentation leaves open is an option, so that a
client can be tested against each variant.

It imports nothing from the client: a mistake in both would stay unseen.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

KEY = "SG_0123456789abcdef"

PRICE_IN = Decimal("0.00000075")
PRICE_OUT = Decimal("0.0000045")
"""Credits for a token of gpt-5.4-mini, the list prices of August 2026."""

MEANS = {
    "gpt-5.4-mini": "0.000543", "gpt-5.4-nano": "0.002936", "gpt-5.4": "0.009438", "gpt-5.5": "0.044475",
    "gpt-5.1": "0.007218", "gpt-5": "0.041857", "gpt-5-mini": "0.010208", "gpt-5-nano": "0.001010",
    "gpt-4o": "0.007496", "o3-mini": "0.001390", "o4-mini": "0.006827", "o3": "0.005008",
    "qwen-plus": "0.000146", "qwen3-max": "0.001059", "kimi-k2-instruct-0905": "0.001018",
    "minimax-m3": "0.009849", "claude-4-sonnet": "0.021433", "claude-4.5-sonnet": "0.045516",
    "claude-opus-4.7": "0.069141", "gemini-2.5-flash": "0.003799", "gemini-2.5-pro": "0.025429",
    "gemini-3-flash": "0.008795", "gemini-3.1-flash-lite": "0.001051", "gemini-3.1-pro": "0.074214",
    "deepseek-chat": "0.001282", "deepseek-reasoner": "0.046871", "llama-v3p1-8b-instruct": "0.000027",
    "llama-v3p1-70b-instruct": "0.001910", "llama-v3-8b-instruct": "0.000632",
    "llama4-maverick-instruct-basic": "0.001021", "llama4-scout-instruct-basic": "0.000707",
    "mixtral-8x22b-instruct": "0.000506", "gpt-4": "0.028925", "gpt-4-turbo": "0.005317",
    "gpt-5.2": "0.012528", "gemini-2.5-flash-lite": "0.000551", "gemini-3-pro": "0.003118",
    "qwen-3.8-max": "0.0075", "qwen-flash": "0.000112", "qwen2-vl-72b-instruct": "0.005773",
    "qwen3-coder-flash": "0.000745", "qwen3-coder-plus": "0.001194",
    "qwen3-vl-flash": "0.000191", "qwen3-vl-plus": "0.000945",
    "qwen3.5-flash": "0.000794", "qwen3.5-plus": "0.003052", "glm-5.2": "0.001198",
}  # fmt: skip
"""Published mean cost of a call, credits, by slug: all slugs the emulator knows."""

_REFERENCE = Decimal(MEANS["gpt-5.4-mini"])
_TEN_DECIMALS = Decimal("1e-10")


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The facts on which cost and latency of a call depend."""

    slug: str
    prompt_tokens: int
    completion_tokens: int


Amount: TypeAlias = Decimal | float | str
Cost: TypeAlias = Amount | Callable[[CallFacts, random.Random], Decimal] | None
Latency: TypeAlias = float | Callable[[CallFacts, Decimal, random.Random], float]
Reserve: TypeAlias = float | Callable[[CallFacts, random.Random], Decimal]


@dataclass(frozen=True, slots=True)
class Config:
    """The behaviour of the service; each unknown of the real one is an option."""

    balance: Amount = 5
    free_credits: Amount = 0
    key: str = KEY
    seed: int = 0
    cost: Cost = None
    """Credits of a call: fixed, or a function; None: list price by tokens, scaled by the slug's mean."""
    latency: Latency = 0.0
    """Seconds the model works: fixed, or a function of the call and its cost."""
    reserve: Reserve = 1.0
    """Credits reserved before a call runs: a factor of its expected cost, or a function."""
    requests_per_minute: int | None = None
    window: Literal["sliding", "fixed"] = "sliding"
    count_refused: bool = False
    """Whether refused calls count in the rate window."""
    max_in_flight: int | None = None
    """Calls in flight above which a call is refused with 429."""
    spend_limit: Amount | None = None
    """A team member's cap, credits."""
    retired: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    slugs: frozenset[str] = frozenset(MEANS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that does not run and is not billed."""

    status: int
    text: str
    reset_after: float | None = None
    """Seconds until the rate window has room again, for a 429 of the rate."""


@dataclass(slots=True, eq=False)
class Running:
    """A call that runs; it is billed at its end even if the caller has disconnected."""

    number: int
    account: Account
    facts: CallFacts
    estimate: Decimal
    cost: Decimal
    started_at: float
    latency: float

    @property
    def finish_at(self) -> float:
        """The time at which the model finishes."""
        return self.started_at + self.latency


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a call that ran."""

    number: int
    cost: Decimal
    balance: Decimal
    """Credits and free credits together, right after this call."""
    seconds: float


@dataclass(slots=True)
class Account:
    """One account: credits, reservations, rate window and counters."""

    credits: Decimal
    free_credits: Decimal
    reserved: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    lowest: Decimal = Decimal(0)
    """The lowest balance it ever had."""
    in_flight: int = 0
    arrivals: deque[float] = field(default_factory=deque)
    """Times of the calls that count in the rate window."""
    refused: dict[int, int] = field(default_factory=dict)
    """Refusals by status."""

    @property
    def balance(self) -> Decimal:
        """Credits and free credits together; reservations do not lower it."""
        return self.credits + self.free_credits

    def charge(self, cost: Decimal) -> None:
        """Subtract *cost*, free credits first; a cost above the reservation may overdraw the account."""
        free = min(cost, self.free_credits)
        self.free_credits -= free
        self.credits -= cost - free
        self.spent += cost
        self.lowest = min(self.lowest, self.balance)


class ServiceState:
    """All accounts of the service, and the rules that admit and bill calls."""

    def __init__(self, config: Config | None = None) -> None:
        self.config: Config = config or Config()
        self.chance: random.Random = random.Random(self.config.seed)
        self.accounts: dict[str, Account] = {}
        self.add_account(self.config.key, self.config.balance, self.config.free_credits)
        self._numbers = 0

    @property
    def account(self) -> Account:
        """The account of the configured key."""
        return self.accounts[self.config.key]

    def add_account(self, key: str, balance: Amount, free_credits: Amount = 0) -> Account:
        """Add an account for *key*."""
        account = Account(_decimal(balance), _decimal(free_credits))
        account.lowest = account.balance
        self.accounts[key] = account
        return account

    def top_up(self, amount: Amount, key: str | None = None) -> None:
        """Add credits to an account; None means that of the configured key."""
        self.accounts[key or self.config.key].credits += _decimal(amount)

    def spend(self, amount: Amount, key: str | None = None) -> None:
        """Charge an account for calls of another process; None means that of the configured key."""
        self.accounts[key or self.config.key].charge(_decimal(amount))

    def arrive(self, key: str, facts: CallFacts, now: float) -> Running | Refusal:
        """Start a call, or refuse it."""
        account = self.accounts.get(key)
        if account is None:
            return Refusal(401, "Unauthorized. API key is invalid or may have expired. Check your API key")
        refusal = self._refusal_of_model(facts.slug) or self._refusal_of_rate(account, now)
        if refusal is not None:
            return _counted(account, refusal)
        cost = self._cost(facts)
        estimate = self._estimate(facts, cost)
        refusal = self._refusal_of_money(account, estimate)
        if refusal is not None:
            return _counted(account, refusal)
        account.reserved += estimate
        account.in_flight += 1
        self._numbers += 1
        return Running(self._numbers, account, facts, estimate, cost, now, self._latency(facts, cost))

    def count_poll(self, key: str, now: float) -> Refusal | None:
        """Count a poll in the rate window, or refuse it."""
        account = self.accounts[key]
        refusal = self._refusal_of_rate(account, now)
        return None if refusal is None else _counted(account, refusal)

    def finish(self, call: Running, now: float) -> Settled:
        """End a call that ran: release its reservation and charge its cost."""
        account = self._end(call)
        account.charge(call.cost)
        return Settled(call.number, call.cost, account.balance, now - call.started_at)

    def fail(self, call: Running) -> None:
        """End a call that failed: release its reservation and charge nothing."""
        self._end(call)

    def _end(self, call: Running) -> Account:
        call.account.reserved -= call.estimate
        call.account.in_flight -= 1
        return call.account

    def _refusal_of_model(self, slug: str) -> Refusal | None:
        if slug in self.config.retired:
            return Refusal(410, f"Model {slug} has been retired")
        if slug not in self.config.slugs:
            return Refusal(404, f"Model {slug} not found")
        if slug in self.config.forbidden:
            return Refusal(403, f"Your account may not call {slug}")
        return None

    def _refusal_of_rate(self, account: Account, now: float) -> Refusal | None:
        cap = self.config.max_in_flight
        if cap is not None and account.in_flight >= cap:
            return Refusal(429, "Too many concurrent requests")
        limit = self.config.requests_per_minute
        if limit is None:
            return None
        begins = now - 60 if self.config.window == "sliding" else now - now % 60
        times = account.arrivals
        while times and (times[0] <= begins if self.config.window == "sliding" else times[0] < begins):
            times.popleft()
        if len(times) < limit:
            times.append(now)
            return None
        reset = times[0] + 60 - now if self.config.window == "sliding" else 60 - now % 60
        if self.config.count_refused:
            times.append(now)
            times.popleft()  # only the latest times matter, and memory stays bounded however many are refused
        return Refusal(429, "Rate limit exceeded", reset)

    def _refusal_of_money(self, account: Account, estimate: Decimal) -> Refusal | None:
        limit = self.config.spend_limit
        if limit is not None and account.spent + account.reserved + estimate > _decimal(limit):
            return Refusal(406, f"Team member spend limit reached: monthly cap of {limit} credits")
        free = account.balance - account.reserved
        if free < estimate:
            return Refusal(
                406,
                f"Insufficient credits: balance is {account.balance:f}, this call needs {estimate:f}",
            )
        return None

    def _cost(self, facts: CallFacts) -> Decimal:
        cost = self.config.cost
        if cost is None:
            return list_price(facts)
        return (cost(facts, self.chance) if callable(cost) else _decimal(cost)).quantize(_TEN_DECIMALS)

    def _estimate(self, facts: CallFacts, cost: Decimal) -> Decimal:
        reserve = self.config.reserve
        if callable(reserve):
            return reserve(facts, self.chance).quantize(_TEN_DECIMALS)
        expected = cost if not callable(self.config.cost) else list_price(facts)
        return (_decimal(reserve) * expected).quantize(_TEN_DECIMALS)

    def _latency(self, facts: CallFacts, cost: Decimal) -> float:
        latency = self.config.latency
        return latency(facts, cost, self.chance) if callable(latency) else latency


def _counted(account: Account, refusal: Refusal) -> Refusal:
    account.refused[refusal.status] = account.refused.get(refusal.status, 0) + 1
    return refusal


def list_price(facts: CallFacts) -> Decimal:
    """Return a call's price by its tokens, credits with ten decimals."""
    scale = Decimal(MEANS.get(facts.slug, MEANS["gpt-5.4-mini"])) / _REFERENCE
    return (scale * (facts.prompt_tokens * PRICE_IN + facts.completion_tokens * PRICE_OUT)).quantize(
        _TEN_DECIMALS
    )


def _decimal(amount: Amount) -> Decimal:
    return amount if isinstance(amount, Decimal) else Decimal(str(amount))
