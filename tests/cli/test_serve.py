"""`serve` as a process: it serves, says where, and stops gracefully at a signal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmind_async.cli import app
from segmind_async.cli.exit_codes import Exit
from segmind_async.emulator import Emulator, faults
from segmind_async.gateway import GatewayOptions
from tests.gateway.support import TOKEN, asked
from tests.support import serving as emulating


@contextmanager
def serving(
    *words: str, emulate: bool = True, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "segmind_async", "serve", "--port", "0", *words]
    command += ["--emulate"] if emulate else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment or None) as process:
        assert process.stderr is not None
        found = re.search(r"serving (\S+)", process.stderr.readline())
        assert found is not None
        try:
            yield process, found.group(1)
        finally:
            process.kill()


def ask(url: str, token: str = "any-token") -> str:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(asked()).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_serves_until_a_signal(name: str) -> None:
    with serving() as (process, url):
        assert ask(url) == "echo: hello"
        process.send_signal(signal.Signals[name])
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "calls in flight have 60 s" in process.stderr.read()


@pytest.mark.slow
def test_the_token_comes_from_the_environment() -> None:
    with serving(SEGMIND_GATEWAY_TOKEN=TOKEN) as (_, url):
        assert ask(url, TOKEN) == "echo: hello"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(url)


def test_another_address_needs_a_token() -> None:
    got = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--emulate"])
    assert got.exit_code == 2
    assert "give a token" in got.stderr


BUDGETS = """
[team]
token = "token-of-the-team"
credits_per_day = 1
"""


def test_the_wait_for_repeats_reaches_the_gateway() -> None:
    result = CliRunner().invoke(app, ["serve", "--emulate", "--repeat-wait", "inf"])
    assert result.exit_code == 2
    assert "repeat_wait" in result.output


def test_the_way_of_tools_reaches_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[GatewayOptions] = []

    async def noted(_client: object, options: GatewayOptions) -> Exit:
        given.append(options)
        return Exit.OK

    monkeypatch.setattr("segmind_async.cli.serve.serve.run", noted)
    for words in ([], ["--tools-via", "schema"]):
        assert CliRunner().invoke(app, ["serve", "--emulate", *words]).exit_code == 0
    assert [one.tools_via for one in given] == ["auto", "schema"]


def spent_of(url: str) -> Decimal:
    """Send one call of 0.01 credits; return what its budget has spent by then."""
    headers = {"Content-Type": "application/json", "x-api-key": "token-of-the-team"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(asked()).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return 1 - Decimal(response.headers["x-segmind-budget-left"])


@pytest.mark.slow
def test_a_budget_holds_over_a_kill(tmp_path: Path) -> None:
    budgets = tmp_path / "budgets.toml"
    budgets.write_text(BUDGETS)
    with emulating(Emulator(cost=Decimal("0.01"))) as emulator:
        environment = {"SEGMIND_API_KEY": emulator.key, "SEGMIND_BASE_URL": emulator.url}
        words = ("--budgets", str(budgets))
        with serving(*words, emulate=False, **environment) as (process, url):
            assert [spent_of(url) for _ in range(2)] == [Decimal("0.01"), Decimal("0.02")]
            emulator.script(faults.Silence())
            with ThreadPoolExecutor() as threads:
                cut_off = threads.submit(spent_of, url)
                while emulator.requests < 3:
                    time.sleep(0.01)
                process.kill()
                with pytest.raises((OSError, HTTPException)):
                    cut_off.result()
        with serving(*words, emulate=False, **environment) as (_, url):
            # Three calls with their cost, and the one that was cut off with what was expected of it.
            assert Decimal("0.035") < spent_of(url) < Decimal("0.05")
