"""Which accounts have refused a call: each is asked once, until it may answer otherwise. Pure.

This bounds the attempts of a call whatever a standing says: it is passed on only to an account that has not
refused it, and each refusal takes one away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..._wire.failures import FailureKind
from .account import Account


class _Money(NamedTuple):
    """What an account was like when it refused the call for lack of credits."""

    answers: int
    balance: int


class Refusals:
    """The accounts that have refused one call, over all its attempts."""

    __slots__ = ("_keys", "_money")

    def __init__(self) -> None:
        self._keys: set[int] = set()
        self._money: dict[int, _Money] = {}

    def __repr__(self) -> str:
        return f"Refusals(keys {sorted(self._keys)}, credits {sorted(self._money)})"

    def add(self, account: Account, kind: FailureKind) -> None:
        """Note that *account* has refused the call, for its key or for lack of credits."""
        if kind is FailureKind.OUT_OF_CREDITS:
            self._money[account.index] = _Money(account.answers, account.ledger.balance or 0)
        else:
            self._keys.add(account.index)

    def stands(self, account: Account) -> bool:
        """Return whether *account* has refused the call, and nothing tells that it would not again.

        A key that has refused a call refuses it for good: a read of its balance, which may bring the key back
        for others, proves nothing, and the call may have caused it. Credits may suffice after an answer, as
        the service then reserves less, or after a top-up.
        """
        if account.index in self._keys:
            return True
        then = self._money.get(account.index)
        return (
            then is not None
            and account.answers == then.answers
            and (account.ledger.balance or 0) <= then.balance
        )

    def among(self, accounts: Sequence[Account]) -> Sequence[Account]:
        """Return those of *accounts* that may be asked: if none of them is left, those short of credits."""
        left = [account for account in accounts if not self.stands(account)]
        return left or [account for account in accounts if account.index not in self._keys]
