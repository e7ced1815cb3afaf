"""All accounts of a client: which one is tried first, and what they are together. Pure.

Limits of the account hold for each: floor, rate, attempts in flight. With one account nothing of this is on
the way of a call.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..._money.protocol import Hold
from ..._wire.failures import Failure
from .account import OF_THE_KEY, Account
from .refusals import Refusals
from .shared_balance import SharedBalances
from .standing import Standing


class Accounts:
    """The accounts of a client, one for each key, in the order of its keys."""

    __slots__ = ("_shared", "all", "first", "several")

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.all: tuple[Account, ...] = tuple(accounts)
        self.first: Account = self.all[0]
        self.several: bool = len(self.all) > 1
        self._shared = SharedBalances(len(self.all))

    def __repr__(self) -> str:
        return ", ".join(f"{account.ledger!r}, {account.throttle!r}" for account in self.all)

    @property
    def distinct(self) -> Sequence[Account]:
        """All but those that were found to be another one under a second key."""
        return [account for account in self.all if account.same_as is None]

    @property
    def balance(self) -> int | None:
        """Units on all accounts as far as known; None before any balance was observed."""
        known = [account.ledger.balance for account in self.distinct]
        return None if all(one is None for one in known) else sum(one or 0 for one in known)

    @property
    def rate(self) -> float | None:
        """Starts a minute with all keys; None if one has no limit."""
        rates = [account.throttle.pacer.rate for account in self.all]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None

    @property
    def opens_at(self) -> float:
        """When the first gate opens, seconds; in the past if one is open."""
        return min(account.throttle.gate.closed_until for account in self.in_turn())

    @property
    def doubts_settle_at(self) -> float | None:
        """When a balance will show of every attempt in doubt whether it was billed; None without any."""
        known = [account.ledger.doubts_settle_at for account in self.all]
        return max((one for one in known if one is not None), default=None)

    def in_turn(self, refusals: Refusals | None = None) -> Sequence[Account]:
        """Return the accounts that may take a call, in the order in which they are tried.

        Those whose refusal of the call stands, by *refusals*, are left out. The one with the fewest calls in
        flight is first, of several the one that has waited longest: so the rate of each is used, and no 429
        of one is provoked that another could avoid. If every key is out, those out of credits are tried, else
        all: the call then ends as with its only key.
        """
        if not self.several:
            return self.all
        of_call = _among(self.all, refusals)
        found = _among([account for account in self.all if account.standing.takes], refusals)
        found = found or [account for account in of_call if account.standing.state is Standing.EMPTY]
        return sorted(found or of_call, key=lambda account: (account.ledger.in_flight, account.started_at))

    def beginning_with(self, index: int) -> list[Account]:
        """Return all accounts, that of this key first."""
        return sorted(self.all, key=lambda account: account.index != index)

    def unread(self) -> list[Account]:
        """Return those that may take a call, and of which a floor can only be kept if the balance is read."""
        if not self.several:  # on the way of every call that has a floor
            return [self.first] if self.first.must_read_balance else []
        return [account for account in self.in_turn() if account.must_read_balance]

    @property
    def any_known(self) -> bool:
        """Whether one that takes calls needs no read of its balance before."""
        return any(account.takes and not account.must_read_balance for account in self.all)

    def due(self, now: float) -> list[Account]:
        """Return those of several whose balance is to be read now: they are out, short or spare."""
        return [account for account in self.all if account.is_due(now)] if self.several else []

    def with_those_of_spares(self, accounts: Sequence[Account]) -> Sequence[Account]:
        """Return *accounts*, and those that spares among them are to be compared to."""
        others = {one.same_as for one in accounts if one.same_as is not None}
        return [*accounts, *(one for one in self.all if one in others and one not in accounts)]

    @property
    def known(self) -> Sequence[int | None]:
        """Units on each account as far as known, to be compared with a read: see `tell_apart`."""
        return [account.ledger.balance for account in self.all] if self.several else ()

    def tell_apart(self, known: Sequence[int | None], read_at: float) -> None:
        """Have spares take calls again of which reads since *read_at* (seconds) show an account of their own.

        *known* are the balances that were known before these reads. On one account no read finds more than
        was known before, unless it was topped up, and then the reads with both keys find more. A spare that
        finds less than the other key is none that matters: it has no credits which the other has not.
        """
        for spare in self.all if self.several else ():
            taker = spare.same_as
            if taker is None or not (spare.was_read_since(read_at) and taker.was_read_since(read_at)):
                continue
            before = known[taker.index]
            if before is not None and taker.last_read <= before < spare.last_read:
                taker.releases(spare)
                self._shared.apart(*sorted((taker.index, spare.index)))

    def answered(self, account: Account, cost: int | None, balance: int | None, now: float) -> None:
        """Take in what an answer of one of several accounts named; None: nothing."""
        account.answers += 1
        if account.same_as is not None and cost is not None:
            account.same_as.ledger.spent_elsewhere(cost)
        found = self._shared.answered(account.index, cost, balance)
        if found is None or account.behind_gateway:
            return
        first, second = sorted((account, self.all[found]), key=lambda one: one.index)
        if first.same_as is None and second.same_as is None:
            first.takes_over(second, now)

    def doubt(self, account: Account, hold: Hold, now: float) -> None:
        """Keep the hold of a call with this account that may have been billed."""
        account.ledger.doubt(hold, now)
        self._shared.lost(account.index)

    def take_over(self, failure: Failure, refused_by: Account, refusals: Refusals) -> bool:
        """Note a failure of a key in *refusals*, and return whether another key may succeed."""
        if failure.kind not in OF_THE_KEY:
            return False
        refusals.add(refused_by, failure.kind)
        return not failure.final and any(
            account.standing.takes and not refusals.stands(account) for account in self.all
        )

    def forget_reservations(self) -> None:
        """Forget what refusals have taught about the service's reservations: the next attempt may be sent."""
        for account in self.all:
            account.ledger.forget_reservations()


def _among(accounts: Sequence[Account], refusals: Refusals | None) -> Sequence[Account]:
    return accounts if refusals is None else refusals.among(accounts)
