"""A gateway that is killed again and again, and the batch that its successors go on with."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from segmind_async.emulator import Emulator
from tests.cli.test_serve import serving
from tests.gateway.batches.support import content, line
from tests.support import KEY
from tests.support import serving as emulating

ROWS, KILLS, SLOTS = 40, 2, 4
COST = Decimal("0.01")
PAYABLE = 4 * ROWS * COST
"""So much that no successor has to wait a minute until it is known what was billed of the calls of the one before."""
FLOOR = Decimal("0.5")
BUDGETS = """
[team]
token = "token-of-the-team"
credits = {cap}
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_batch_through_kills(tmp_path: Path) -> None:
    chance = random.Random(1)
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(BUDGETS.format(cap=PAYABLE))
    words = ["--files", str(tmp_path / "files"), "--budgets", str(budgets), "--floor", str(FLOOR)]
    words += ["--max-in-flight", str(SLOTS)]
    with emulating(Emulator(cost=COST, latency=0.1, balance=FLOOR + PAYABLE, key=KEY)) as emulator:
        environment = {"SEGMIND_API_KEY": KEY, "SEGMIND_BASE_URL": emulator.url}
        batch_id = ""
        for _ in range(KILLS):
            with serving(*words, emulate=False, **environment) as (process, url):
                with caller(url) as sdk:
                    batch_id = batch_id or made(sdk)
                    before = emulator.requests
                    while emulator.requests < before + SLOTS:
                        time.sleep(0.01)
                time.sleep(chance.uniform(0, 0.5))  # the moment of a crash is nobody's to choose
                process.send_signal(signal.SIGKILL)
                process.wait()
        with serving(*words, emulate=False, **environment) as (_, url), caller(url) as sdk:
            answered = wait_for_rows(sdk, batch_id)
        billed = emulator.billed()
        lowest = emulator.state.account.lowest
    assert [row["custom_id"] for row in answered] == [f"r{n}" for n in range(ROWS)]
    texts = [row["response"]["body"]["choices"][0]["message"]["content"] for row in answered]
    assert texts == [f"echo: row {n}" for n in range(ROWS)]
    assert set(billed) == {f"row {n}" for n in range(ROWS)}
    # Paid twice is only what was on the wire at a kill.
    assert billed.total() - ROWS <= KILLS * SLOTS
    assert Counter(billed.values())[1] >= ROWS - KILLS * SLOTS
    assert lowest >= FLOOR


def caller(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="token-of-the-team", max_retries=0)


def made(sdk: openai.OpenAI) -> str:
    file = sdk.files.create(file=("rows.jsonl", content(line(n) for n in range(ROWS))), purpose="batch")
    order: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return sdk.batches.create(input_file_id=file.id, **order).id


def wait_for_rows(sdk: openai.OpenAI, batch_id: str) -> list[dict[str, Any]]:
    while (batch := sdk.batches.retrieve(batch_id)).status != "completed":
        assert batch.status in {"in_progress", "finalizing"}
        assert batch.errors is None
        time.sleep(0.1)
    assert batch.error_file_id is None
    assert batch.output_file_id is not None
    return [json.loads(row) for row in sdk.files.content(batch.output_file_id).text.splitlines()]
