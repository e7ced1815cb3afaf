"""The pytest plugin in a suite of a user's, run in a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import asyncio
import sys

import anyio
import pytest

from segmind_async.emulator import EchoBrain, FunctionBrain

loop_class, policy, run = asyncio.SelectorEventLoop, asyncio.get_event_loop_policy(), asyncio.run


def test_nothing_is_patched(segmind_emulator, segmind_client, segmind_gateway):
    assert asyncio.SelectorEventLoop is loop_class
    assert asyncio.get_event_loop_policy() is policy
    assert asyncio.run is run


@pytest.mark.anyio
async def test_async(segmind_emulator, segmind_client):
    assert (await segmind_client.chat("hello")).text == "echo: hello"
    assert segmind_emulator.requests == 1


@pytest.mark.parametrize("_", [1, 2])
def test_each_test_has_an_emulator_of_its_own(segmind_emulator, segmind_client, _):
    async def ask():
        return (await segmind_client.chat("hello")).text

    assert asyncio.run(ask()) == asyncio.run(ask()) == "echo: hello"
    assert segmind_emulator.requests == 2


@pytest.mark.segmind(FunctionBrain(lambda question: question.prompt.upper()), balance=3)
def test_marker(segmind_emulator, segmind_client):
    async def ask():
        return (await segmind_client.balance()).total, (await segmind_client.chat("hello")).text

    assert asyncio.run(ask()) == (3, "HELLO")


def test_gateway(segmind_gateway, segmind_emulator):
    import openai

    with openai.OpenAI(base_url=segmind_gateway.url, api_key="any") as client:
        said = client.chat.completions.create(
            model="gpt-5.4-mini", messages=[{"role": "user", "content": "hello"}]
        )
    assert said.choices[0].message.content == "echo: hello"
    assert segmind_emulator.requests == 1
"""


@pytest.mark.slow
def test_the_fixtures_serve_sync_and_async_tests_and_patch_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.makeconftest("import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n")
    done = pytester.runpytest_subprocess("--strict-markers", "-W", "error")
    done.assert_outcomes(passed=6)


@pytest.mark.slow
def test_the_marker_is_explained(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--markers")
    done.stdout.fnmatch_lines(["@pytest.mark.segmind(brain=None, *"])


@pytest.mark.slow
def test_the_example_of_the_guide_passes(pytester: pytest.Pytester) -> None:
    page = (Path(__file__).parents[1] / "docs/guides/testing.md").read_text(encoding="utf-8")
    [example] = re.findall(r'```python title="test_translate.py"\n(.*?)```', page, re.S)
    pytester.makepyfile(test_translate=example)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
