"""Amounts of credits as text, and the headers that say what an answer cost. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ...models import Balance, ChatCompletion, JsonDict, Statistics


def plain(amount: Decimal) -> str:
    """Write an amount without an exponent, which many number parsers do not accept."""
    return f"{amount:f}"


def answer_headers(completion: ChatCompletion[Any], request_id: str) -> dict[str, str]:
    """Return the headers of an answer; *request_id* is used if the service sent none."""
    headers = {"x-request-id": completion.request_id or request_id}
    headers.update(cost_headers(completion.cost, completion.credits_remaining))
    return headers


def cost_headers(cost: Decimal | None, remaining: Decimal | None) -> dict[str, str]:
    """Return the headers for a cost and a balance; what is unknown is left out."""
    headers = {"x-segmind-cost": cost, "x-segmind-remaining-credits": remaining}
    return {name: plain(amount) for name, amount in headers.items() if amount is not None}


def credits_of(balance: Balance, now: Statistics) -> JsonDict:
    """Return the body of `GET /v1/credits`. Amounts are strings: readers of JSON round numbers."""
    return {
        "object": "credits",
        "credits": plain(balance.credits),
        "free_credits": plain(balance.free_credits),
        "total": plain(balance.total),
        "held": plain(now.held),
        "spent": plain(now.spent),
    }
