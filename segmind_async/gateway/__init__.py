"""A gateway: OpenAI's form of the API on a local port, in front of one client, its credits and its pace.

async with SegmindClient() as client, Gateway(client) as gateway:
    print(gateway.url)

`segmind-async serve` runs one. Programs that use an OpenAI SDK change the base URL, and nothing else.
"""

from __future__ import annotations

from ._budgets.rules import BudgetRule, read_rules
from ._options import GatewayOptions
from ._server import Gateway

__all__ = ["BudgetRule", "Gateway", "GatewayOptions", "read_rules"]
