"""Results of a row in their three forms: an outcome, a record of the journal, a row of the output."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import from_json, to_json

from .. import errors
from .._money.units import ceil_units, credits_of
from .._providers.answers import decode
from .._providers.provider import Answer
from .._structured.prompting import calls_offered_tools
from .._structured.shape import Shape
from .._text.error_text import message_of
from ..errors import ErrorDetails, OutputValidationError, SegmindError
from ..models import ChatCompletion, JsonDict, Outcome, Status
from .journal.record import Draft, Record
from .known_rows import KnownRow
from .report.row_counts import INVALID_ROW
from .row_keys import source_of
from .rows import Row

FIELDS: tuple[str, ...] = (
    "id", "index", "status", "text", "label", "truth", "parsed", "tool_calls", "error", "attempts", "cost",
    "usage", "elapsed",
)  # fmt: skip
"""Fields of a row of the output."""


class ParsedAnswer(NamedTuple):
    """Values read from an answer. With an *error_type* the row is failed although it has an answer."""

    label: str | None = None
    parsed: str | None = None
    """As JSON."""
    error_type: str | None = None
    message: str | None = None

    def storable(self) -> ParsedAnswer:
        """Return these values as a journal can hold them; raises TypeError for one that is no text."""
        return ParsedAnswer(*map(storable, self))


def storable(text: object) -> str | None:
    """Return a text of the user's code as a journal can hold it: half characters become question marks.

    Raises TypeError for what is neither a text nor None.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text but a {type(text).__name__}")
    return text.encode("utf-8", "replace").decode()


ReadAnswer: TypeAlias = Callable[[ChatCompletion], ParsedAnswer]


def record_of(known: KnownRow, outcome: Outcome[Any], parsed: ParsedAnswer, truth: str | None) -> Record:
    """Return the record of an outcome, which is ok or failed."""
    completion, error = outcome.completion, outcome.error
    error_type, message = parsed.error_type, parsed.message
    if error is not None:
        error_type, message = type(error).__name__, storable(error.message)
    done = error.details if error is not None else completion
    assert done is not None
    return Record(
        key=known.key,
        digest=known.digest,
        status=Status.FAILED if error_type else Status.OK,
        error_type=error_type,
        message=message,
        row_index=known.row.index,
        units=None if outcome.cost is None else ceil_units(outcome.cost),
        seconds=done.elapsed,
        attempts=outcome.attempts,
        in_doubt=done.in_doubt,
        at=time.time(),  # noqa: TID251  # for people to read, and for another process
        label=parsed.label,
        truth=truth,
        parsed=parsed.parsed,
        source=source_of(known.row),
        raw=None if completion is None else to_json(completion.raw),
        replaces=known.replaces,
    )


def record_of_draft(known: KnownRow, draft: Draft, parsed: ParsedAnswer, truth: str | None) -> Record:
    """Return the record of an answer that an earlier run received and did not read."""
    return Record(
        key=known.key,
        digest=known.digest,
        status=Status.FAILED if parsed.error_type else Status.OK,
        error_type=parsed.error_type,
        message=parsed.message,
        row_index=known.row.index,
        units=draft.units,
        attempts=1,
        at=time.time(),  # noqa: TID251  # as above
        label=parsed.label,
        truth=truth,
        parsed=parsed.parsed,
        source=source_of(known.row),
        raw=draft.raw,
        replaces=known.replaces,
    )


def outcome_of(record: Record, row: Row, model: str, shape: Shape[Any] | None) -> Outcome[Any]:
    """Return the outcome of a record; its answer is decoded and parsed again. Headers are not kept."""
    cost = None if record.units is None else credits_of(record.units)
    ended = (record.attempts, cost)
    if record.raw is None or record.error_type is not None:
        return Outcome(row.index, row.id, Status(record.status), None, _error(record, cost), *ended)
    completion = completion_of(record, model, cost)
    try:
        called = calls_offered_tools(row.request, completion.tool_calls)
        parsed = None if shape is None or called else shape.read(completion.text)
    except Exception as error:  # noqa: BLE001  # a validator of the user's, perhaps another than before
        details = ErrorDetails(
            attempts=record.attempts, elapsed=completion.elapsed, cost=cost, answers=(completion.text,)
        )
        misfit = OutputValidationError(f"the answer does not fit: {message_of(error)}", details)
        return Outcome(row.index, row.id, Status.FAILED, None, misfit, *ended)
    return Outcome(row.index, row.id, Status.OK, replace(completion, parsed=parsed), None, *ended)


def completion_of(record: Record, model: str, cost: Decimal | None) -> ChatCompletion[Any]:
    """Return the completion of a record that has an answer."""
    assert record.raw is not None
    answer = decode(record.raw)
    return ChatCompletion(
        text=answer.text,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        tool_calls=answer.tool_calls,
        model=model,
        cost=cost,
        attempts=record.attempts,
        in_doubt=record.in_doubt,
        elapsed=record.seconds or 0.0,
        raw=answer.raw,
    )


def _error(record: Record, cost: Decimal | None) -> SegmindError:
    details = ErrorDetails(
        attempts=record.attempts,
        in_doubt=record.in_doubt,
        elapsed=record.seconds or 0.0,
        cost=cost,
        answers=() if record.raw is None else (decode(record.raw).text,),
    )
    found = getattr(errors, record.error_type or "", None)
    text = record.message or "failed in an earlier run"
    if isinstance(found, type) and issubclass(found, SegmindError):
        return found(text, details)
    return SegmindError(f"{record.error_type}: {text}", details)


def row_of(row: Row, record: Record | None) -> JsonDict:
    """Return a row of the output; without a record the row was not sent, or is invalid."""
    result: JsonDict = {name: None for name in FIELDS}  # noqa: C420  # typed as what it will hold
    result.update(id=row.id, index=row.index, status=Status.UNSENT)
    if row.request is None:
        result.update(status=Status.FAILED, error=f"{INVALID_ROW}: {row.problem}", attempts=0)
    elif record is not None:
        _fill(result, record)
    return result


def _fill(result: JsonDict, record: Record) -> None:
    answer: Answer | None = None if record.raw is None else decode(record.raw)
    result.update(
        status=record.status,
        label=record.label,
        truth=record.truth,
        error=None if record.error_type is None else f"{record.error_type}: {record.message}",
        attempts=record.attempts,
        cost=None if record.units is None else credits_of(record.units),
        parsed=None if record.parsed is None else from_json(record.parsed),
    )
    if answer is not None:
        usage = answer.usage
        result["text"] = answer.text
        if answer.tool_calls:
            calls = [
                {"id": one.id, "name": one.name, "arguments": one.arguments} for one in answer.tool_calls
            ]
            result["tool_calls"] = calls
        result["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        result["elapsed"] = None if record.seconds is None else round(record.seconds, 6)


def batch_row_of(row: Row, record: Record | None) -> JsonDict:
    """Return a line of the output of OpenAI's Batch API."""
    line: JsonDict = {"id": f"batch_req_{row.index}", "custom_id": row.id, "response": None, "error": None}
    if row.request is None:
        line["error"] = {"code": INVALID_ROW, "message": row.problem}
    elif record is None:
        line["error"] = {"code": str(Status.UNSENT), "message": "not sent yet"}
    elif record.error_type is not None:
        line["error"] = {"code": record.error_type, "message": record.message}
    if record is not None and record.raw is not None:
        answer = decode(record.raw)
        body = answer.raw if "choices" in answer.raw else _openai_body(row, answer)
        line["response"] = {"status_code": 200, "request_id": str(body.get("id") or ""), "body": body}
    return line


def _openai_body(row: Row, answer: Answer) -> JsonDict:
    """Return the answer of another provider in OpenAI's form."""
    usage = answer.usage
    message: JsonDict = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in answer.tool_calls
        ]
    return {
        "object": "chat.completion",
        "model": None if row.request is None else row.request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
    }
