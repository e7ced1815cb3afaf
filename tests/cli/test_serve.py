"""`serve` as a process: it serves, says where, and stops gracefully at a signal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from segmind_async.cli import app
from tests.gateway.support import TOKEN, asked


@contextmanager
def serving(*words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "segmind_async", "serve", "--port", "0", "--emulate", *words]
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
