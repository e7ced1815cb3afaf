"""One call: its attempts, the waits between them, and the one answer or error it ends with.

A wait between attempts holds neither slot nor credits. However a call ends, its lease has ended before.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import anyio
import anyio.to_thread
import backoff
from pydantic_core import to_json

from .._hooks.agent_run import CURRENT_RUN
from .._hooks.trace import callers_context, current_trace
from .._media.loading import load_parts
from .._media.parts import LazyPart, PartsNotLoadedError
from .._money.estimates import predict_cost, template_of
from .._money.protocol import Price, Shortfall
from .._money.units import ceil_units, credits_of, floor_units
from .._providers.answers import decode
from .._providers.finish import ignored_tools
from .._providers.provider import Answer
from .._providers.registry import check_slug
from .._providers.requests import EncodedRequest, encode, must_call
from .._text.wait_reasons import WaitReason
from .._transport.base import WireRequest, WireResponse
from .._wire import response_headers
from .._wire.failures import Billing, Failure, FailureKind, Resend, refusal, unreadable
from .._wire.json import UnreadableError
from ..config import RetryPolicy, Timeouts
from ..errors import (
    MAX_BODY,
    APITimeoutError,
    ErrorDetails,
    InvalidRequestError,
    SegmindError,
    ToolsNotSupportedError,
)
from ..hooks import AttemptEnded, BalanceSeen, CallEnded, CallStarted, RetryPlanned
from ..models import ChatCompletion, ChatRequest, Messages, Request
from ..tokens import check_context_window, may_exceed_window
from .accounts.refusals import Refusals
from .admission import CallScope, Closed, Lease, Ticket
from .gateway_requests import Sent, settle_doubt, to_gateway
from .missing import shortfall_error
from .reservation_states import State
from .retry import GiveUp, Retry, RetryState, decide, decide_for_other_key
from .service import Service, read_unread, recheck, refresh_balance, wait_for_doubts

_REFUSALS_TO_BELIEVE = 2
"""Refusals for lack of credits, with no other call of this client in flight, after which it is certain."""


class NotSentError(SegmindError):
    """The scope was closed before the next attempt of this call; raised within a fan-out only."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Timeouts, retries and default model of a call, and the limits it counts in, here and at a gateway."""

    scope: CallScope
    timeouts: Timeouts
    retry: RetryPolicy
    model: str
    gateway_budget: str | None = None
    """The budget of a gateway that the call counts in; None: that of its token, if any."""
    before_sending: Callable[[], Awaitable[None]] | None = None
    """Awaited before each attempt is sent, when it has its slot. If it raises, the call ends so, unsent."""


@dataclass(slots=True)
class CallTotals:
    """Attempts, costs and times of a call, also of one that failed; summed up by a fan-out."""

    attempts: int = 0
    rate_limited: int = 0
    in_doubt: int = 0
    """Attempts that may have been billed although their answer was lost."""
    maybe_paid_twice: int = 0
    """Those of them after which another attempt was sent."""
    cost: Decimal | None = None
    unpriced: int = 0
    """Answers for which the service named no cost."""
    reasks: int = 0
    """Answers that did not match `parse`, and were requested again."""
    elapsed: float = 0.0


class Call:
    """One chat completion, from its request to its answer or error. It is run once."""

    __slots__ = (
        "_call_id",
        "_context",
        "_credit_refusals",
        "_must_call",
        "_options",
        "_request",
        "_retry_state",
        "_service",
        "_started_at",
        "_ticket",
        "_uncounted",
        "_unloaded",
        "_wire",
        "model",
        "totals",
    )

    def __init__(
        self, service: Service, options: CallOptions, request: ChatRequest, totals: CallTotals | None = None
    ) -> None:
        """Check and encode *request*; raises InvalidRequestError before anything is sent.

        Files that are not loaded yet are loaded when it runs; the body is encoded then.
        """
        self.model = model = check_slug(request.model) if request.model else options.model
        self._uncounted: Messages | None = None
        self._unloaded: tuple[ChatRequest, Sequence[LazyPart]] | None = None
        try:
            body = self._encoded(request)
        except PartsNotLoadedError as error:
            self._unloaded, body = (request, error.parts), b""
        self._wire = WireRequest("/" + model, body)
        self._must_call = "tool_choice" in request.parameters and must_call(request.parameters)
        self._service = service
        self._request = request if service.hooks.wants_calls_or_attempts() else None
        self._options = options
        self._ticket = Ticket(
            options.scope,
            service.estimates.of_template(model, template_of(request.messages)),
            None if self._unloaded else predict_cost(model, body, request.parameters),
        )
        total = options.timeouts.total
        self._retry_state = RetryState(math.inf if total is None else total)
        self._credit_refusals = 0
        self._started_at: float | None = None
        self._call_id = 0
        self._context: dict[str, str] = {}
        self.totals = CallTotals() if totals is None else totals
        # A row that is tried again keeps count of the attempts that may have been billed.
        self._retry_state.in_doubt = self.totals.in_doubt

    @property
    def used(self) -> float:
        """Seconds of `timeouts.total` used up by attempts and the waits between them."""
        return self._retry_state.used

    def run(self) -> Coroutine[None, None, ChatCompletion]:
        """Send until there is an answer, or no attempt is left; raises a SegmindError."""
        return self._run() if self._request is None else self._run_reported()

    async def _run_reported(self) -> ChatCompletion:
        """Run, and report the start and the end to the hooks."""
        # The totals may go on from earlier calls for the same row.
        began_at, earlier = self._service.admission.now(), replace(self.totals)
        self._service.hooks.call_started(
            CallStarted(
                self.model,
                current_trace(),
                self._id(),
                CURRENT_RUN.get(),
                self._request,
                callers_context(),
                self._context,
            )
        )
        try:
            completion = await self._run(reported=True)
        except BaseException as error:
            self._report_call(error, earlier, began_at)
            raise
        self._report_call(completion, earlier, began_at)
        return completion

    def _report_call(
        self, ended: ChatCompletion | BaseException, earlier: CallTotals, began_at: float
    ) -> None:
        """Report how the call ended; *earlier* are the totals at its start."""
        completion = ended if isinstance(ended, ChatCompletion) else None
        details = ended.details if isinstance(ended, SegmindError) else None
        source, totals = completion or details, self.totals
        request_id = None if source is None else source.request_id
        self._service.hooks.call_ended(
            CallEnded(
                model=self.model,
                error_type=None if completion else type(ended).__name__,
                status=200 if completion else details.status if details else None,
                usage=completion.usage if completion else None,
                cost=None if totals.cost is None else totals.cost - (earlier.cost or 0),
                seconds=self._service.admission.now() - began_at,
                attempts=totals.attempts - earlier.attempts,
                request_id=None if request_id is None else self._service.redactor.text(request_id),
                trace=current_trace(),
                call_id=self._id(),
                completion=completion,
            )
        )

    def _id(self) -> int:
        """Return the number of this call in the events of hooks, taken when it is first needed."""
        if not self._call_id:
            self._call_id = self._service.hooks.new_call_id()
        return self._call_id

    async def _run(self, *, reported: bool = False) -> ChatCompletion:
        """Send until there is an answer; *reported*: a hook or the log may want to know of attempts."""
        if self._unloaded is not None or self._uncounted is not None:
            await self._prepare()
        service, totals, progress = self._service, self.totals, self._retry_state
        service.retry_budget.called()
        while True:
            lease = self._acquire_nowait() or await self._acquire()
            if self._started_at is None:
                self._started_at = lease.hold.started_at
            progress.attempts += 1
            totals.attempts += 1
            patient = service.admission.behind_gateway
            special = patient or lease.account.index or self._options.before_sending is not None
            try:
                try:
                    got = await (self._send_specially(lease) if special else self._send(lease))
                except BaseException:
                    self._abandon(lease, reported=reported)
                    raise
                answer = self._settle(lease, got)
            finally:
                # Whatever was raised, the slot and the hold are given back.
                if lease.state is State.SENT or lease.state is State.ADMITTED:
                    lease.cancelled()
            # A gateway has calls wait, and names what it spent on them after that.
            progress.used += response_headers.elapsed_in(got.headers) if patient else lease.took
            if reported and service.hooks.wants_attempts():
                self._report_attempt(answer, lease)
            if isinstance(answer, ChatCompletion):
                service.retry_budget.succeeded()
                if self._must_call and ignored_tools(answer):
                    raise self._tools_not_supported(answer)
                return answer
            await self._wait_before_retry(answer, self._next_retry(answer, lease))

    def _send(self, lease: Lease) -> Coroutine[None, None, WireResponse | Failure]:
        lease.dispatched()
        return self._service.send(self._wire, self._retry_state.left)

    async def _send_specially(self, lease: Lease) -> WireResponse | Failure:
        """Send an attempt with what only some need: another key, somebody who is told first, a gateway."""
        service, progress = self._service, self._retry_state
        if self._options.before_sending is not None:
            await self._options.before_sending()
        lease.dispatched()
        wire = self._wire._replace(key=lease.account.index)
        if not service.admission.behind_gateway:
            return await service.send(wire, progress.left)
        budget, scope = self._options.gateway_budget, self._options.scope
        wire = to_gateway(wire, service.admission.name, progress.left, scope, budget, self._context)
        sent = Sent(wire, scope, lease.hold.started_at, service.wall_clock())
        got = await service.send(wire, math.inf)
        if isinstance(got, Failure) and got.kind is FailureKind.DISCONNECTED:
            return await settle_doubt(service, sent, got, progress.left)
        return got

    def _abandon(self, lease: Lease, *, reported: bool) -> None:
        """End an attempt that was cancelled, or met a bug of this library: it may have been sent."""
        lease.cancelled()
        self.totals.in_doubt += lease.state is State.IN_DOUBT
        self._elapsed()
        if reported and self._service.hooks.wants_attempts():
            self._report_attempt(None, lease)

    def _acquire_nowait(self) -> Lease | None:
        admission = self._service.admission
        if self._options.scope.budget.floor and admission.accounts.unread():
            return None
        return admission.acquire_nowait(self._ticket)

    async def _prepare(self) -> None:
        """Do before the first slot what takes too long for the loop."""
        if self._unloaded is not None:
            await self._load_parts(*self._unloaded)
        if self._uncounted is not None:
            await self._count(self._uncounted)

    async def _load_parts(self, request: ChatRequest, parts: Sequence[LazyPart]) -> None:
        """Load files that the messages only refer to, before a slot is taken."""
        kept = await load_parts(parts)
        body = self._encoded(request)
        del kept  # the body holds them now
        self._wire, self._unloaded = WireRequest(f"/{self.model}", body), None

    def _encoded(self, request: ChatRequest) -> bytes:
        if isinstance(request, EncodedRequest):
            return request.body
        body = encode(self.model, request.messages, request.parameters)
        self._uncounted = request.messages if may_exceed_window(self.model, len(body)) else None
        return body

    async def _count(self, messages: Messages) -> None:
        """Refuse a prompt that is too long; in a thread, for the count and the vocabulary take long."""
        await anyio.to_thread.run_sync(
            check_context_window, self.model, messages, len(self._wire.body or b"")
        )
        self._uncounted = None

    async def _acquire(self) -> Lease:
        """Wait for a lease; the wait for the first one is limited by `timeouts.queue`."""
        bound = self._options.timeouts.queue if self._started_at is None else None
        if bound is None:
            return await self._acquire_known()
        try:
            with anyio.fail_after(bound):
                return await self._acquire_known()
        except TimeoutError as error:
            message = f"no slot, credits or start time within timeouts.queue={bound:g} s"
            raise APITimeoutError(message, self._details()) from error

    async def _acquire_known(self) -> Lease:
        admission = self._service.admission
        if self._options.scope.budget.floor and admission.accounts.unread():
            # A floor can only be kept if the balance is known.
            await read_unread(self._service)
        if due := admission.due_reads():
            await recheck(self._service, due)
        got = await admission.acquire(self._ticket)
        if isinstance(got, Shortfall) and got.budget is None:
            # The known balance may be old, or lowered by attempts in doubt: read it before giving up.
            await wait_for_doubts(admission)
            await refresh_balance(self._service)
            got = await admission.acquire(self._ticket)
        if isinstance(got, Shortfall):
            raise shortfall_error(got, self._details(), self._options.scope.budget.floor, admission.balance)
        if isinstance(got, Closed):
            raise NotSentError("its fan-out has stopped", self._details())
        return got

    def _settle(self, lease: Lease, got: WireResponse | Failure) -> ChatCompletion | Failure:
        """Decode the response and settle the lease with it."""
        if isinstance(got, Failure):
            lease.failed(got)
            return got
        gateway = response_headers.is_gateway(got.headers)
        self._service.admission.met(gateway=gateway, status=got.status)
        balance = response_headers.balance_in(got.headers)
        reading = None if balance is None else floor_units(balance)
        answer = self._read(got)
        cost = response_headers.cost_in(got.headers) if 200 <= got.status < 300 else None
        if isinstance(answer, Failure):
            if cost is None:
                lease.failed(answer, reading)
            else:
                # The answer is unreadable, but its cost is known.
                self._add_cost(cost, lease.answered(Price(ceil_units(cost)), reading))
            return answer
        price = self._service.estimates.price(self.model, cost, answer.usage)
        self._add_cost(cost, lease.answered(price, reading))
        return self._completion(got, answer, balance, lease.ended_at)

    def _read(self, response: WireResponse) -> Answer | Failure:
        if response.status != 200:
            wait = response_headers.seconds_to_wait(response.headers, self._service.wall_clock())
            return refusal(response.status, response.headers, response.body, wait)
        try:
            return decode(response.body)
        except UnreadableError as error:
            return unreadable(str(error), response.headers, response.body)

    def _completion(
        self, response: WireResponse, answer: Answer, balance: Decimal | None, now: float
    ) -> ChatCompletion:
        return ChatCompletion(
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            tool_calls=answer.tool_calls,
            model=self.model,
            cost=self.totals.cost,
            credits_remaining=balance,
            request_id=response_headers.request_id_in(response.headers),
            attempts=self.totals.attempts,
            in_doubt=self._retry_state.in_doubt,
            elapsed=self._elapsed(now),
            raw=answer.raw,
            headers=response.headers,
        )

    def _add_cost(self, cost: Decimal | None, in_place: int | None) -> None:
        """Add the cost that the service named, or what is booked in place of an absurd one."""
        if cost is None:
            self.totals.unpriced += 1
        else:
            cost = cost if in_place is None else credits_of(in_place)
            self.totals.cost = cost if self.totals.cost is None else self.totals.cost + cost

    def _next_retry(self, failure: Failure, lease: Lease) -> Retry:
        """Return the wait before the next attempt; raises the error of the call if there is none."""
        decision = self._retry_or_give_up(failure, lease)
        self._retry_state.failed(failure)
        self.totals.in_doubt = self._retry_state.in_doubt
        if isinstance(decision, GiveUp):
            raise self._error(failure, decision.reason)
        if failure.billing is Billing.IN_DOUBT:
            self.totals.maybe_paid_twice += 1
        return decision

    def _retry_or_give_up(self, failure: Failure, lease: Lease) -> Retry | GiveUp:
        if failure.kind is FailureKind.RATE_LIMITED:
            self.totals.rate_limited += 1
        elif self._is_passed_on(failure, lease):
            return decide_for_other_key(self._retry_state)
        elif failure.kind is FailureKind.OUT_OF_CREDITS and lease.ended_alone:
            self._credit_refusals += 1
            if self._credit_refusals >= _REFUSALS_TO_BELIEVE:
                return GiveUp()
        return decide(failure, self._retry_state, self._options.retry, self._service.retry_budget)

    def _is_passed_on(self, failure: Failure, lease: Lease) -> bool:
        """Return whether another key is asked, one that has not refused this call."""
        accounts, ticket = self._service.admission.accounts, self._ticket
        if not accounts.several:
            return False
        if ticket.refusals is None:
            ticket.refusals = Refusals()
        return accounts.take_over(failure, lease.account, ticket.refusals)

    async def _wait_before_retry(self, failure: Failure, decision: Retry) -> None:
        if failure.resend is Resend.WHEN_OPEN:
            # The gate stops all calls, this one included; its time counts as a wait between attempts.
            admission = self._service.admission
            wait = max(decision.wait, admission.accounts.opens_at - admission.now(), 0.0)
            self._retry_state.used += wait
            self._report_retry(failure, wait)
            return
        wait = decision.wait + (backoff.full_jitter(decision.spread) if decision.spread else 0.0)
        self._retry_state.used += wait
        self._report_retry(failure, wait)
        if wait:
            admission = self._service.admission
            gone = failure.kind is FailureKind.GATEWAY_GONE
            with admission.pause(WaitReason.OUTAGE if gone else WaitReason.RETRY, admission.now() + wait):
                await anyio.sleep(wait)

    def _report_attempt(self, got: ChatCompletion | Failure | None, lease: Lease) -> None:
        """Report how an attempt ended; None: it was cancelled. Called only if hooks or the log want it."""
        headers = {} if got is None else got.headers
        balance = response_headers.balance_in(headers)
        failed = got if isinstance(got, Failure) else None
        request_id = response_headers.request_id_in(headers)
        hooks = self._service.hooks
        hooks.attempt_ended(
            AttemptEnded(
                model=self.model,
                attempt=self.totals.attempts,
                outcome="cancelled" if got is None else failed.kind.name.lower() if failed else "answered",
                status=failed.status if failed else None if got is None else 200,
                seconds=lease.took,
                cost=response_headers.cost_in(headers),
                in_doubt=lease.state is State.IN_DOUBT,
                request_id=None if request_id is None else self._service.redactor.text(request_id),
                trace=current_trace(),
                call_id=self._id(),
            )
        )
        if balance is not None:
            name = lease.account.name or None
            hooks.balance_seen(BalanceSeen(balance, asked=False, trace=current_trace(), key=name))

    def _report_retry(self, failure: Failure, wait: float) -> None:
        if self._service.hooks.wants_retries():
            # Not the service's message: it may hold a part of a prompt, or of an answer.
            kind = failure.kind.name.lower().replace("_", " ")
            reason = kind if failure.status is None else f"{kind}, HTTP {failure.status}"
            self._service.hooks.retry_planned(
                RetryPlanned(self.model, self.totals.attempts, wait, reason, current_trace(), self._id())
            )

    def _elapsed(self, now: float | None = None) -> float:
        if self._started_at is not None:
            self.totals.elapsed = (self._service.admission.now() if now is None else now) - self._started_at
        return self.totals.elapsed

    def _details(self, failure: Failure | None = None) -> ErrorDetails:
        return ErrorDetails(
            status=failure.status if failure else None,
            body=failure.body if failure else b"",
            headers=failure.headers if failure else {},
            request_id=failure.request_id if failure else None,
            model=self.model,
            attempts=self.totals.attempts,
            in_doubt=self._retry_state.in_doubt,
            elapsed=self._elapsed(),
            retry_after=failure.retry_after if failure else None,
            cost=self.totals.cost,
        )

    def _error(self, failure: Failure, reason: str | None) -> SegmindError:
        failure = self._service.redactor.failure(failure)
        if reason:
            failure = replace(failure, message=f"{failure.message} ({reason})")
        return failure.error(self._details(failure), credits_of(self._options.scope.budget.floor))

    def _tools_not_supported(self, got: ChatCompletion) -> ToolsNotSupportedError:
        message = (
            f"{self.model} had to call a tool and answered in words: tools do not reach it; use another "
            "model, or an agent with tools_via='schema'"
        )
        details = replace(
            self._details(),
            status=200,
            body=self._service.redactor.data(to_json(got.raw)[:MAX_BODY]),
            headers={name: self._service.redactor.text(value) for name, value in got.headers.items()},
            request_id=got.request_id,
            answers=(self._service.redactor.text(got.text),),
        )
        return ToolsNotSupportedError(message, details)


def request_of(messages: Request, model: str | None, parameters: Mapping[str, object]) -> ChatRequest:
    """Return what `chat` is to send; raises InvalidRequestError for a request that says it twice."""
    if not isinstance(messages, ChatRequest):
        return ChatRequest.of(messages, model, parameters)
    if model is not None or parameters:
        twice = ", ".join([*(["model"] if model is not None else []), *parameters])
        raise InvalidRequestError(f"a ChatRequest has its own model and parameters; put {twice} into it")
    return messages
