"""A call whose answer must have a shape, and the calls that request it again.

Each of them is a call like any other: it waits for its slot, credits and start time, and is paid. All
share one deadline and one `CallTotals`. Truncated answers and refusals are not requested again: another
try would not help. An answer that calls tools is returned without a value.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

import anyio
from pydantic_core import to_json

from .._providers.finish import finish_of, refusal_of
from .._providers.provider import Finish
from .._providers.registry import provider_of
from .._structured.prompting import (
    calls_offered_tools,
    offers_tools,
    request_after_invalid,
    request_with_shape,
)
from .._structured.shape import Shape, ShapeMismatchError, shape_of
from .._text.error_text import class_and_message
from ..config import check_amount, check_count
from ..errors import (
    MAX_BODY,
    APITimeoutError,
    ErrorDetails,
    OutputError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
    SegmindError,
)
from ..models import ChatCompletion, ChatRequest
from .call import Call, CallOptions, CallTotals
from .service import Service

T = TypeVar("T")

_LONGEST_REFUSAL = 500
"""Characters of a refusal that the message of an error quotes; the whole is in `answers` or `body`."""

Answered: TypeAlias = Callable[[ChatCompletion], Awaitable[None]]
"""Awaited with every answer, `parsed` still None, before code of the user reads it."""


@dataclass(frozen=True, slots=True)
class Expected(Generic[T]):
    """The shape an answer must have, and what is done until it has it."""

    shape: Shape[T]
    max_reasks: int
    """How often an answer that does not match is requested again, at most."""
    answered: Answered | None = None


def expected(parse: object, max_reasks: int) -> Expected[Any]:
    """Return the expectation for `parse`; raises InvalidRequestError for a type that no schema describes."""
    check_count("max_reasks", max_reasks)
    return Expected(shape_of(parse), max_reasks)


async def run_within(timeout: float, call: Call | Conversation[Any]) -> ChatCompletion[Any]:
    """Run *call* for at most *timeout* seconds, waits for a slot included; raises APITimeoutError after."""
    check_amount("timeout", timeout, above=True)
    try:
        with anyio.fail_after(timeout):
            return await call.run()
    except APITimeoutError:
        raise
    except TimeoutError as error:
        totals = call.totals
        details = ErrorDetails(
            model=call.model,
            attempts=totals.attempts,
            in_doubt=totals.in_doubt,
            elapsed=totals.elapsed,
            cost=totals.cost,
            answers=call.answers if isinstance(call, Conversation) else (),
        )
        raise APITimeoutError(f"no answer within timeout={timeout:g} s", details) from error


class Conversation(Generic[T]):
    """Sends calls until an answer matches. It may be run again after an error, and continues from there."""

    __slots__ = (
        "_answers", "_began_at", "_expected", "_options", "_request", "_service", "_totals", "_used",
        "model",
    )  # fmt: skip

    def __init__(
        self,
        service: Service,
        options: CallOptions,
        request: ChatRequest,
        expected: Expected[T],
        totals: CallTotals | None = None,
    ) -> None:
        self._service = service
        self._options = options
        self._expected = expected
        self.model = request.model or options.model
        provider = provider_of(self.model)
        support = provider.schema_support
        if offers_tools(request):
            support = provider.schema_support_beside_tools or support
        self._request = request_with_shape(request, expected.shape, support, provider.schema_rules)
        self._totals = CallTotals() if totals is None else totals
        self._answers: list[str] = []
        self._began_at: float | None = None
        self._used = 0.0

    @property
    def totals(self) -> CallTotals:
        """Totals of all its calls."""
        return self._totals

    @property
    def answers(self) -> tuple[str, ...]:
        """Texts of the answers so far, without the API key."""
        return tuple(map(self._service.redactor.text, self._answers))

    async def run(self) -> ChatCompletion[T]:
        """Return the first answer that matches, or that calls tools the request offers.

        Raises OutputError, or the errors of a call; each holds all answers and their cost.
        """
        try:
            return await self._run()
        except SegmindError as error:
            if self._answers:
                error.add_paid((*self.answers, *error.answers), self._totals.cost)
            raise

    async def _run(self) -> ChatCompletion[T]:
        while True:
            completion = await self._send()
            if calls_offered_tools(self._request, completion.tool_calls):
                return cast("ChatCompletion[T]", completion)
            try:
                return self._parsed(completion)
            except ShapeMismatchError as mismatch:
                problem = str(mismatch)
            self._prepare_reask(completion, problem)

    async def _send(self) -> ChatCompletion:
        call = Call(self._service, self._options, self._request, self._totals)
        completion = await call.run()
        self._used += call.used
        now = self._service.admission.now()
        if self._began_at is None:
            self._began_at = now - completion.elapsed
        self._totals.elapsed = now - self._began_at
        completion = replace(completion, elapsed=self._totals.elapsed)
        if self._expected.answered is not None:
            await self._expected.answered(completion)
        self._answers.append(completion.text)
        return completion

    def _parsed(self, completion: ChatCompletion) -> ChatCompletion[T]:
        """Return the answer with its value; raises ShapeMismatchError if another answer may match."""
        finish = finish_of(completion.finish_reason, completion.raw)
        if finish is Finish.REFUSED:
            words = refusal_of(completion.raw) or completion.text or str(completion.finish_reason)
            raise self._error(
                RefusalError, completion, f"the model refused to answer: {words[:_LONGEST_REFUSAL]}"
            )
        if finish is Finish.TRUNCATED:
            bound = f"the answer was cut off (finish_reason={completion.finish_reason!r})"
            raise self._error(
                OutputTruncatedError, completion, f"{bound}; allow more tokens, or ask for less"
            )
        try:
            value = self._expected.shape.read(completion.text)
        except ShapeMismatchError:
            raise
        except Exception as error:
            # A bug in a validator of the user: no other answer would help.
            problem = f"reading the answer failed with {class_and_message(error)}"
            raise self._error(OutputValidationError, completion, problem) from error
        return replace(cast("ChatCompletion[T]", completion), parsed=value)

    def _prepare_reask(self, completion: ChatCompletion, problem: str) -> None:
        """Prepare the call that requests the answer again; raises OutputValidationError if none is left."""
        answers = len(self._answers)
        times = "" if answers == 1 else f" after {answers} answers"
        if answers > self._expected.max_reasks:
            raise self._error(OutputValidationError, completion, f"the answer does not fit{times}: {problem}")
        total = self._options.timeouts.total
        left = math.inf if total is None else total - self._used
        if left <= 0:
            late = f"timeouts.total={total:g} leaves no time to ask again"
            raise self._error(
                OutputValidationError, completion, f"the answer does not fit{times}: {problem} ({late})"
            )
        # As between attempts: the deadline continues, and `queue` was for the first slot.
        timeouts = replace(self._options.timeouts, total=None if total is None else left, queue=None)
        self._options = replace(self._options, timeouts=timeouts)
        self._used = 0.0
        self._totals.reasks += 1
        self._request = request_after_invalid(self._request, completion.text, problem)

    def _error(self, kind: type[OutputError], completion: ChatCompletion, message: str) -> OutputError:
        redactor = self._service.redactor
        details = ErrorDetails(
            status=200,
            body=redactor.data(to_json(completion.raw)[:MAX_BODY]),
            headers={name: redactor.text(value) for name, value in completion.headers.items()},
            request_id=completion.request_id,
            model=completion.model,
            attempts=self._totals.attempts,
            in_doubt=self._totals.in_doubt,
            elapsed=self._totals.elapsed,
            cost=self._totals.cost,
        )
        return kind(redactor.text(message), details)
