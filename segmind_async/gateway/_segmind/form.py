"""Segmind's own form: `/v1/{slug}`, `/v2` and `/v1/get-user-credits`, as the service has them. Pure.

A body is passed on byte for byte: it is in the form of the model's provider already. Source of the form:
Segmind's documentation as of 2026-08.
"""

from __future__ import annotations

from pydantic_core import to_json

from ..._providers.registry import check_slug
from ..._providers.requests import EncodedRequest
from ..._wire.json import UnreadableError, read_object
from ..._wire.response_headers import BALANCE, COST
from ...errors import redact
from ...models import Balance, ChatCompletion, JsonDict
from .._budgets.amounts import plain
from .._errors import GatewayError, invalid

OPENAI_PATHS = (
    "assistants", "audio", "batches", "chat", "chatkit", "completions", "containers", "conversations",
    "credits", "edits", "embeddings", "evals", "files", "fine_tuning", "images", "models", "moderations",
    "organization", "projects", "realtime", "responses", "skills", "threads", "uploads", "vector_stores",
    "videos",
)  # fmt: skip
"""First parts of the paths of OpenAI's API (its reference, 2026-08), and of this gateway: none is a slug."""

MODEL_PATH = f"/v1/{{slug:(?!(?:{'|'.join(OPENAI_PATHS)})$)[A-Za-z0-9][A-Za-z0-9._-]*}}"
"""The path of a model, as a pattern of aiohttp's router; a slug is what `check_slug` takes for one."""


QUEUED_PATH = "/v2/{slug:[A-Za-z0-9][A-Za-z0-9._-]*}"
"""The path to which requests for a model's queue are submitted."""

RESULT_PATH = "/v2/requests/{id:[A-Za-z0-9][A-Za-z0-9._-]{0,199}}"
"""The path of what came of one of them; `/status` after it is that of its status."""


def read_request(slug: str, body: bytes) -> EncodedRequest:
    """Read a request; raises GatewayError, a 400 or an InvalidRequestError for a path that is not a slug."""
    model = check_slug(slug)
    try:
        fields = read_object(body)
    except UnreadableError as error:
        raise invalid(f"the body is not a JSON object: {error}") from error
    if fields.get("stream"):
        raise invalid("stream=true: the service does not stream; leave it out", "stream")
    return EncodedRequest(model, body, fields)


def answer_headers(completion: ChatCompletion) -> dict[str, str]:
    """Return the service's own headers of an answer; its cost is that of all attempts."""
    named = {COST: completion.cost, BALANCE: completion.credits_remaining}
    return {name: plain(amount) for name, amount in named.items() if amount is not None}


def receipt(origin: str, id: str) -> JsonDict:
    """Return what answers a submission; *origin* is that of the gateway, as its caller knows it."""
    here = f"{origin}/v2/requests/{id}"
    status = f"{here}/status"
    return {
        "request_id": id, "status": "QUEUED", "poll_url": here, "status_url": status, "response_url": here
    }  # fmt: skip


def running(id: str) -> JsonDict:
    """Return the status of a submission whose end was not seen."""
    return {"request_id": id, "status": "PROCESSING"}


def balance_body(balance: Balance) -> bytes:
    """Write the answer of `GET /v1/get-user-credits`."""
    # By hand: as floats the amounts would be rounded.
    return f'{{"credits": {plain(balance.credits)}, "free-credits": {plain(balance.free_credits)}}}'.encode()


def status_of(problem: GatewayError) -> int:
    """Return the status the service has for a problem: it says 406 where others say 402."""
    return 406 if problem.status == 402 else problem.status


def error_body(problem: GatewayError) -> bytes:
    """Write a problem as the service writes its errors."""
    text = redact(problem.message)
    if problem.status == 402 and "credit" not in text:
        # The service's clients know by this word which of the causes of a 406 it is.
        text = f"Insufficient credits: {text}"
    return to_json({"error": text})
