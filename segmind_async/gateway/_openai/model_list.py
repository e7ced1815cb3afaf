"""The models of the catalogue, as `GET /v1/models` lists them. Pure.

Beside OpenAI's fields stand `context_length` and `pricing` (credits for a token), as OpenRouter's list has
them (its API reference, 2026-08): that is where some clients look.
"""

from __future__ import annotations

from decimal import Decimal

from ..._providers.catalogue import MODELS, Model
from ...models import JsonDict
from .._budgets.amounts import plain
from .._errors import GatewayError

_MILLION = Decimal(1_000_000)


def model_list() -> JsonDict:
    """Return all models of the catalogue."""
    return {"object": "list", "data": [_described(slug, model) for slug, model in MODELS.items()]}


def one_model(slug: str) -> JsonDict:
    """Return one model of the catalogue; raises GatewayError, a 404, for any other."""
    if slug not in MODELS:
        raise GatewayError(
            404,
            f"the model {slug[:80]!r} is not in the catalogue; the service may know it nevertheless",
            code="model_not_found",
            param="model",
        )
    return _described(slug, MODELS[slug])


def _described(slug: str, model: Model) -> JsonDict:
    described: JsonDict = {
        "id": slug,
        "object": "model",
        # Not published; OpenAI's SDKs demand a number.
        "created": 0,
        "owned_by": "segmind",
        "context_length": model.context_window,
        "mean_cost": plain(model.mean_cost),
        "mean_seconds": model.mean_seconds,
    }
    if model.list_price is not None:
        described["pricing"] = {
            "prompt": plain(model.list_price.input / _MILLION),
            "completion": plain(model.list_price.output / _MILLION),
        }
    return described
