"""Budgets by token, read from `budgets.toml`. Pure.

[research]
token = "…"
credits_per_day = 2.5
max_in_flight = 8
priority = "bulk"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

from ..._wire.response_headers import BUDGET_NAME
from ...config import check_amount, check_choice, check_count
from ...errors import ConfigurationError
from .._access import checked_token

if TYPE_CHECKING:
    from ..._sending.call_queue import Priority


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """One budget of a gateway, and the token that stands for it."""

    name: str
    token: str | None = field(default=None, repr=False)
    """Calls with this token count in it. None: only those that name it in `x-segmind-budget`."""
    credits_per_day: Decimal | None = None
    """Credits its calls may cost from midnight to midnight, UTC."""
    credits: Decimal | None = None
    """Credits its calls may cost in all."""
    max_in_flight: int | None = None
    priority: Priority | None = None

    def __post_init__(self) -> None:
        if not BUDGET_NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a budget cannot be named {self.name!r}: letters, digits, '.', '_' and '-', 64 at most"
            )
        if self.token is not None:
            checked_token(self.token)
        for name in ("credits_per_day", "credits"):
            if getattr(self, name) is not None:
                check_amount(f"{self.name}.{name}", getattr(self, name))
        if self.credits is not None and self.credits_per_day is not None:
            raise ConfigurationError(
                f"budget {self.name!r} has credits and credits_per_day: give one of them"
            )
        if self.max_in_flight is not None:
            check_count(f"{self.name}.max_in_flight", self.max_in_flight, at_least=1)
        if self.priority is not None:
            check_choice(f"{self.name}.priority", self.priority, ("interactive", "bulk"))

    @property
    def cap(self) -> Decimal | None:
        """Credits it has in each period; None for no limit."""
        return self.credits if self.credits_per_day is None else self.credits_per_day

    def period(self, now: float) -> str:
        """Return the period that the epoch second *now* is in: its day in UTC, or one for all times."""
        return "all" if self.credits_per_day is None else f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"


class BudgetState(NamedTuple):
    """A budget at one moment."""

    rule: BudgetRule
    calls: int
    """Calls taken and not ended, those that wait included."""
    in_flight: int
    left: Decimal | None
    """Credits left in its present period, calls in doubt subtracted; None without a limit."""


_FIELDS = frozenset({"token", "credits_per_day", "credits", "max_in_flight", "priority"})


def read_rules(text: str) -> tuple[BudgetRule, ...]:
    """Read the text of a `budgets.toml`; raises ConfigurationError naming budget and field."""
    try:
        # Amounts stay decimal: a float is not the number that was written.
        tables = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, InvalidOperation) as error:
        raise ConfigurationError(f"the budgets are not TOML: {error}") from error
    return check_rules([_rule(name, table) for name, table in tables.items()])


def check_rules(rules: Sequence[BudgetRule]) -> tuple[BudgetRule, ...]:
    """Return *rules*; raises ConfigurationError if two share a token or a name."""
    tokens = [rule.token for rule in rules if rule.token is not None]
    if len(set(tokens)) < len(tokens) or len({rule.name for rule in rules}) < len(rules):
        raise ConfigurationError("two budgets have the same token or name")
    return tuple(rules)


def _rule(name: str, table: object) -> BudgetRule:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{name!r} stands outside of a budget: begin one with [NAME]")
    unknown = ", ".join(sorted(table.keys() - _FIELDS))
    if unknown:
        known = ", ".join(sorted(_FIELDS))
        raise ConfigurationError(f"budget {name!r} has unknown fields ({unknown}); known are {known}")
    if not isinstance(table.get("token", ""), str):
        raise ConfigurationError(f"the token of budget {name!r} must be a string")
    return BudgetRule(name, **table)
