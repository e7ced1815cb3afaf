"""The figures of a client's accounts, each and together. Pure."""

from __future__ import annotations

from ..._money.units import credits_of
from ...models import KeyStatistics, Statistics
from .account import Account
from .accounts import Accounts


def statistics_of(accounts: Accounts, now: float) -> Statistics:
    """Return a snapshot of all accounts; what is no matter of theirs is left at its default."""
    keys = [_of_one(account, now) for account in accounts.all]
    balance, distinct = accounts.balance, accounts.distinct
    takers = accounts.in_turn()
    lowest = min(takers, key=lambda account: account.throttle.limit).throttle
    slowest = min(takers, key=lambda account: account.throttle.pacer.rate or float("inf")).throttle
    return Statistics(
        in_flight=sum(key.in_flight for key in keys),
        limit=sum(account.throttle.limit for account in takers),
        limit_reason=lowest.concurrency_limit.reason,
        requests_per_minute=accounts.rate,
        pace_reason=slowest.pacer.reason,
        closed_for=max(0.0, accounts.opens_at - now),
        rate_limited=sum(key.rate_limited for key in keys),
        balance=None if balance is None else credits_of(balance),
        floor=credits_of(sum(account.ledger.root.floor for account in distinct)),
        held=sum((key.held for key in keys), credits_of(0)),
        spent=sum((key.spent for key in keys), credits_of(0)),
        keys=tuple(keys) if accounts.several else (),
    )


def _of_one(account: Account, now: float) -> KeyStatistics:
    money, throttle = account.ledger.statistics(now), account.throttle
    return KeyStatistics(
        name=account.name,
        state=account.state,
        takes_calls=account.takes,
        in_flight=money.in_flight,
        limit=throttle.limit,
        requests_per_minute=throttle.pacer.rate,
        closed_for=max(0.0, throttle.gate.closed_until - now),
        rate_limited=account.rate_limited,
        balance=None if money.balance is None else credits_of(money.balance),
        held=credits_of(money.held + money.in_doubt),
        spent=credits_of(money.spent),
    )
