"""State shared by all calls of a client, and reads of the balance."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

import anyio

from .._hooks.dispatch import HookDispatcher
from .._hooks.trace import current_trace
from .._money.estimates import Estimates
from .._money.units import floor_units
from .._text.wait_reasons import WaitReason
from .._transport.base import Transport, WireRequest, WireResponse
from .._wire import response_headers
from .._wire.failures import Failure, FailureKind, refusal, unreadable
from .._wire.json import UnreadableError, read_object
from .._wire.redaction import Redactor
from ..config import RetryPolicy
from ..errors import ErrorDetails, SegmindError
from ..hooks import BalanceSeen
from ..models import Balance
from .accounts.account import Account
from .admission import Admission
from .retry import GiveUp, RetryBudget, RetryState, decide
from .waits import told_by_gateway

T = TypeVar("T")

_BALANCE = WireRequest("/get-user-credits")

_READ_WITHIN = 30.0
"""Seconds for a read of the balance, retries included; no model runs for it."""

_ASK_WITHIN = 5.0
"""Seconds for a question to a gateway, which has the answer at hand."""


_RECHECK_WITHIN = 5.0
"""Seconds for the read of a key for which calls wait that other keys could take."""

_NO_CREDITS = "no credits found"
"""Text of the 404 with which the balance endpoint answers for an account that never had credits."""


@dataclass(frozen=True, slots=True)
class Service:
    """State shared by all calls of a client and of those derived from it."""

    transport: Transport
    admission: Admission
    estimates: Estimates
    redactor: Redactor
    retry_budget: RetryBudget = field(default_factory=RetryBudget)
    balance_lock: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while the balance is read, so that concurrent readers cause one request."""
    hooks: HookDispatcher = field(default_factory=HookDispatcher)
    calls_tools: set[str] = field(default_factory=set)
    """Models that have called a tool, which shows that tools reach them."""
    wall_clock: Callable[[], float] = time.time  # noqa: TID251  # headers of the service are in wall time

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once, as the transport does; nothing above sees a key that a server or proxy echoes."""
        got = await self.transport.send(request, time_left)
        if isinstance(got, Failure):
            gone = got.kind is FailureKind.UNREACHABLE and self.admission.behind_gateway
            return replace(got, kind=FailureKind.GATEWAY_GONE) if gone else got
        headers, body = self.redactor.answer(got.headers, got.body)
        return WireResponse(got.status, headers, body)


def refused(service: Service, response: WireResponse) -> Failure:
    """Return the failure that a response other than 200 means."""
    wait = response_headers.seconds_to_wait(response.headers, service.wall_clock())
    return refusal(response.status, response.headers, response.body, wait)


async def wait_for_doubts(admission: Admission) -> None:
    """Wait until a balance that is asked for shows of every attempt in doubt whether it was billed."""
    settles_at = admission.accounts.doubts_settle_at
    if settles_at is None:
        return
    with admission.pause(WaitReason.DOUBTS, settles_at):
        # A timer may end a moment before its time, and what is read then settles nothing.
        while (left := settles_at - admission.now()) > 0:  # noqa: ASYNC110  # for an instant, no event
            await anyio.sleep(left)


async def refresh_balance(service: Service) -> None:
    """Read each account's balance anew, or wait for a read that another call has begun.

    A balance that cannot be read stays as it was.
    """
    accounts = service.admission.accounts
    ended_at = [account.read_ended_at for account in accounts.all]
    async with service.balance_lock:
        unread = [one for one, at in zip(accounts.all, ended_at, strict=True) if one.read_ended_at == at]
        if unread:
            known, began_at = accounts.known, service.admission.now()
            with suppress(SegmindError):
                await _read_balances(service, RetryPolicy(), unread)
            accounts.tell_apart(known, began_at)


async def read_unread(service: Service) -> None:
    """Read the balances of keys that may take a call, and whose floor cannot be kept without.

    A key whose balance cannot be read is out, and its calls go to the others. Raises the error of the first
    if it leaves no key that could take a call.
    """
    began_at, accounts = service.admission.now(), service.admission.accounts
    ended: dict[Account, SegmindError | None] = {}
    async with service.balance_lock:
        # Asked anew with every turn: others have read meanwhile, and keys have come and gone.
        while unread := [
            one for one in accounts.unread() if one not in ended and not one.was_read_since(began_at)
        ]:
            ended.update(await _read_in_time(service, unread))
        for account in accounts.unread():
            if (error := ended.get(account)) is not None:
                raise error


async def _read_in_time(service: Service, unread: Sequence[Account]) -> dict[Account, SegmindError | None]:
    """Read balances, and return the error of each read that ended, None where it succeeded.

    As soon as one key can take calls, those whose reads take too long are out: all calls wait for this.
    """
    ended: dict[Account, SegmindError | None] = {}

    async def read(account: Account) -> None:
        try:
            await _read_balance_of(service, RetryPolicy(), account)
        except SegmindError as error:
            ended[account] = error
        else:
            ended[account] = None
        limit_wait()

    def limit_wait() -> None:
        if service.admission.accounts.any_known and reads.cancel_scope.deadline == math.inf:
            reads.cancel_scope.deadline = anyio.current_time() + _RECHECK_WITHIN

    async with anyio.create_task_group() as reads:
        limit_wait()
        for account in unread:
            reads.start_soon(read, account)
    for account in unread:
        if account not in ended:
            service.admission.not_read(account)
    return ended


async def recheck(service: Service, due: Sequence[Account]) -> None:
    """Read once the balances of keys that are out, short or spare; a failure leaves them as they are."""
    accounts = service.admission.accounts
    known, began_at = accounts.known, service.admission.now()
    async with anyio.create_task_group() as reads:
        for account in accounts.with_those_of_spares(due):
            reads.start_soon(_ask, service, RetryState(_RECHECK_WITHIN), account)
    accounts.tell_apart(known, began_at)


async def read_balance(service: Service, retry: RetryPolicy) -> Balance:
    """Read the balance of all keys and pass each to its ledger. Free of charge; safe to repeat.

    Returns their sum, in which an account with several keys counts once. A key whose balance cannot be read
    is left out of it; if none can, raises the error of the first.
    """
    return await _read_balances(service, retry, service.admission.accounts.distinct)


async def _read_balances(service: Service, retry: RetryPolicy, accounts: Sequence[Account]) -> Balance:
    if len(accounts) == 1:
        return await _read_balance_of(service, retry, accounts[0])
    found: list[Balance] = []
    errors: dict[int, SegmindError] = {}

    async def read(account: Account) -> None:
        try:
            found.append(await _read_balance_of(service, retry, account))
        except SegmindError as error:
            errors[account.index] = error

    async with anyio.create_task_group() as reads:
        for account in accounts:
            reads.start_soon(read, account)
    if not found:
        raise errors[min(errors)]
    return Balance(
        sum((one.credits for one in found), Decimal(0)), sum((one.free_credits for one in found), Decimal(0))
    )


async def _read_balance_of(service: Service, retry: RetryPolicy, account: Account) -> Balance:
    progress = RetryState(_READ_WITHIN)
    while True:
        got = await _ask(service, progress, account)
        if isinstance(got, Balance):
            return got
        # A read costs nothing, so no attempt is ever in doubt.
        decision = decide(got, progress, retry, service.retry_budget)
        progress.failed(got)
        if isinstance(decision, GiveUp):
            service.admission.not_read(account)
            got = service.redactor.failure(got)
            raise got.error(ErrorDetails(got.status, got.body, got.headers, attempts=progress.attempts))
        progress.used += decision.wait
        await anyio.sleep(decision.wait)


async def _ask(service: Service, progress: RetryState, account: Account) -> Balance | Failure:
    request = _BALANCE._replace(key=account.index)
    answer, sent_at = await get(service, request, progress, lambda response: _read(service, response))
    if isinstance(answer, Balance):
        service.admission.observe(account, floor_units(answer.total), sent_at)
        if service.hooks.wants_balances():
            name = account.name or None
            service.hooks.balance_seen(BalanceSeen(answer.total, asked=True, trace=current_trace(), key=name))
    return answer


async def ask_gateway(service: Service) -> None:
    """Ask the gateway how many calls of this client wait there, and why. An answer is shown for a while."""
    admission = service.admission
    got = await service.send(WireRequest(f"/waiting/{admission.name}"), _ASK_WITHIN)
    if isinstance(got, Failure) or got.status != 200 or not response_headers.is_gateway(got.headers):
        return
    with suppress(UnreadableError):
        admission.waits.gateway_tells(told_by_gateway(read_object(got.body)), admission.now())


async def get(
    service: Service, request: WireRequest, progress: RetryState, read: Callable[[WireResponse], T | Failure]
) -> tuple[T | Failure, float]:
    """Send a GET, which takes a start time but no slot and no credits; safe to repeat.

    Returns the result of *read* on the response, and the instant at which the request was sent.
    """
    admission = service.admission
    account = admission.accounts.all[request.key]
    tag = await admission.start_read(account)
    sent_at = admission.now()
    try:
        got = await service.send(request, progress.left)
    except BaseException:
        account.throttle.abandoned(tag)
        raise
    if isinstance(got, WireResponse):
        admission.met(gateway=response_headers.is_gateway(got.headers), status=got.status)
    progress.attempts += 1
    progress.used += admission.now() - sent_at
    answer = read(got) if isinstance(got, WireResponse) else got
    admission.read_ended(account, tag, answer if isinstance(answer, Failure) else None)
    return answer, sent_at


def _read(service: Service, response: WireResponse) -> Balance | Failure:
    if response.status != 200:
        failure = refused(service, response)
        nothing = failure.kind is FailureKind.NOT_FOUND and _NO_CREDITS in failure.message.lower()
        return Balance(Decimal(0), Decimal(0)) if nothing else failure
    try:
        raw = read_object(response.body)
    except UnreadableError as error:
        return unreadable(str(error), response.headers, response.body)
    paid = response_headers.credits_in(raw.get("credits"))
    free = response_headers.credits_in(raw.get("free-credits", 0))
    if paid is None or free is None:
        return unreadable("the balance is not an amount", response.headers, response.body)
    return Balance(paid, free)
