"""The error envelope of OpenAI's API. Pure."""

from __future__ import annotations

from ...errors import redact
from ...models import JsonDict
from .._errors import GatewayError


def envelope(problem: GatewayError) -> JsonDict:
    """Return the body of an error in OpenAI's form."""
    # A message may quote the request, and somebody may have put a key there.
    fields = {
        "message": redact(problem.message),
        "type": problem.type,
        "param": problem.param,
        "code": problem.code,
    }
    return {"error": fields}
