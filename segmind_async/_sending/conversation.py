"""A call whose answer must have a shape, and the calls that ask for it again.

Each of them is a call like any other: it waits for its slot, credits and start time, and is paid. All
share one deadline and one tally. What cannot be helped by asking again (cut off, refused) is not.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

from pydantic_core import to_json

from .._providers.answers import finish_of, refusal_of
from .._providers.base import Finish
from .._providers.registry import provider_of
from .._structured.prompting import request_after_invalid, request_with_shape
from .._structured.shape import Shape, ShapeMismatchError, shape_of
from ..config import check_count
from ..errors import (
    MAX_BODY,
    ErrorDetails,
    OutputError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
)
from ..models import ChatCompletion, ChatRequest
from .call import Call, CallOptions, Tally
from .service import Service

T = TypeVar("T")

_LONGEST_REFUSAL = 500
"""Characters of a refusal that a message repeats; all of it is in the error's `answers` or `body`."""

Answered: TypeAlias = Callable[[ChatCompletion], Awaitable[None]]
"""Awaited with every answer, `parsed` still None, before code of the user reads it."""


@dataclass(frozen=True, slots=True)
class Expected(Generic[T]):
    """What an answer must be."""

    shape: Shape[T]
    max_reasks: int
    """How often the model is asked again after an answer that does not fit."""
    answered: Answered | None = None


def expected(parse: object, max_reasks: int) -> Expected[Any]:
    """Return what an answer must be; raises InvalidRequestError for a type that cannot be asked for."""
    check_count("max_reasks", max_reasks)
    return Expected(shape_of(parse), max_reasks)


class Conversation(Generic[T]):
    """Asks until an answer fits. Like a call it may be run again after an error, and goes on from there."""

    __slots__ = (
        "_answers", "_began_at", "_expected", "_options", "_request", "_service", "_tally", "_used",
    )  # fmt: skip

    def __init__(
        self,
        service: Service,
        options: CallOptions,
        request: ChatRequest,
        expected: Expected[T],
        tally: Tally | None = None,
    ) -> None:
        self._service = service
        self._options = options
        self._expected = expected
        self._request = request_with_shape(
            request, expected.shape, provider_of(request.model or options.model).schema_support
        )
        self._tally = Tally() if tally is None else tally
        self._answers: list[str] = []
        self._began_at: float | None = None
        self._used = 0.0

    @property
    def tally(self) -> Tally:
        """What all its calls came to."""
        return self._tally

    @property
    def answers(self) -> tuple[str, ...]:
        """The model's words so far, one text for each answer."""
        return tuple(self._answers)

    async def run(self) -> ChatCompletion[T]:
        """Return the first answer that fits; raises OutputError, or what a call raises."""
        while True:
            completion = await self._ask()
            try:
                return self._fitting(completion)
            except ShapeMismatchError as misfit:
                problem = str(misfit)
            self._prepare_again(completion, problem)

    async def _ask(self) -> ChatCompletion:
        call = Call(self._service, self._options, self._request, self._tally)
        completion = await call.run()
        self._used += call.used
        now = self._service.admission.now()
        if self._began_at is None:
            self._began_at = now - completion.elapsed
        self._tally.elapsed = now - self._began_at
        completion = replace(completion, elapsed=self._tally.elapsed)
        if self._expected.answered is not None:
            await self._expected.answered(completion)
        self._answers.append(completion.text)
        return completion

    def _fitting(self, completion: ChatCompletion) -> ChatCompletion[T]:
        """Return the answer with its value; raises ShapeMismatchError if another one may fit."""
        ending = finish_of(completion.finish_reason, completion.raw)
        if ending is Finish.REFUSED:
            words = refusal_of(completion.raw) or completion.text or str(completion.finish_reason)
            raise self._error(
                RefusalError, completion, f"the model refused to answer: {words[:_LONGEST_REFUSAL]}"
            )
        if ending is Finish.TRUNCATED:
            bound = f"the answer was cut off (finish_reason={completion.finish_reason!r})"
            raise self._error(
                OutputTruncatedError, completion, f"{bound}; allow more tokens, or ask for less"
            )
        try:
            value = self._expected.shape.read(completion.text)
        except ShapeMismatchError:
            raise
        except Exception as error:
            # A validator of the user's that fails by accident: no other answer repairs it.
            problem = f"reading the answer failed with {type(error).__name__}: {error}"
            raise self._error(OutputValidationError, completion, problem) from error
        return replace(cast("ChatCompletion[T]", completion), parsed=value)

    def _prepare_again(self, completion: ChatCompletion, problem: str) -> None:
        """Make the next call the one that asks again; raises OutputValidationError if there is to be none."""
        asked = len(self._answers)
        times = "" if asked == 1 else f" after {asked} answers"
        if asked > self._expected.max_reasks:
            raise self._error(OutputValidationError, completion, f"the answer does not fit{times}: {problem}")
        total = self._options.timeouts.total
        left = math.inf if total is None else total - self._used
        if left <= 0:
            late = f"timeouts.total={total:g} leaves no time to ask again"
            raise self._error(
                OutputValidationError, completion, f"the answer does not fit{times}: {problem} ({late})"
            )
        # As between attempts: the deadline goes on, and the bound on queueing was for the first slot.
        timeouts = replace(self._options.timeouts, total=None if total is None else left, queue=None)
        self._options = replace(self._options, timeouts=timeouts)
        self._used = 0.0
        self._tally.misfits += 1
        self._request = request_after_invalid(self._request, completion.text, problem)

    def _error(self, kind: type[OutputError], completion: ChatCompletion, message: str) -> OutputError:
        redactor = self._service.redactor
        details = ErrorDetails(
            status=200,
            body=redactor.data(to_json(completion.raw)[:MAX_BODY]),
            headers={name: redactor.text(value) for name, value in completion.headers.items()},
            request_id=completion.request_id,
            model=completion.model,
            attempts=self._tally.attempts,
            in_doubt=self._tally.in_doubt,
            elapsed=self._tally.elapsed,
            cost=self._tally.cost,
        )
        return kind(redactor.text(message), details, tuple(map(redactor.text, self.answers)))
