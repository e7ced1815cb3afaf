"""Counting tokens, refusing what cannot fit, and bodies of megabytes: encoded once, never copied."""

from __future__ import annotations

import io
import logging
import threading
import tracemalloc
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import segmind_async as sa
from segmind_async import tokens
from segmind_async._providers.requests import encode
from segmind_async.emulator import Emulator, faults
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest
from tests.support import KEY, client, status


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_tokenizer", lambda: None)


def test_texts_are_counted_with_the_models_own_vocabulary() -> None:
    assert sa.count_tokens("Tell me a joke on dogs.") == sa.TokenCount(7, exact=True)
    assert sa.count_tokens("漢字" * 500) == sa.TokenCount(1000, exact=True)
    assert sa.count_tokens([sa.system("be brief"), sa.user("hello", "world")]) == sa.TokenCount(4, exact=True)
    assert sa.count_tokens("half a \ud83d").exact


def test_other_models_and_images_give_an_estimate() -> None:
    assert sa.count_tokens("Tell me a joke on dogs.", "claude-4-sonnet") == sa.TokenCount(6, exact=False)
    assert sa.count_tokens([sa.user("hello", sa.image("https://example.com/a.png"))]) == sa.TokenCount(
        1, exact=False
    )


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_every_count_is_an_estimate() -> None:
    assert sa.count_tokens("Tell me a joke on dogs.") == sa.TokenCount(6, exact=False)


@pytest.mark.parametrize(
    ("messages", "model", "reason"),
    [
        (None, "gpt-5.4-mini", "messages=None is a NoneType; give a string, or a list"),
        (b"hello", "gpt-5.4-mini", "messages=b'hello' is a bytes"),
        ([5], "gpt-5.4-mini", r"messages\[0\]=5 is a int"),
        ([{"role": "user", "content": 5}], "gpt-5.4-mini", r"messages\[0\] has content of type int"),
        ("hello", 5, "model=5"),
    ],
)
def test_invalid_messages_and_slugs_are_refused(messages: Any, model: Any, reason: str) -> None:
    with pytest.raises(sa.InvalidRequestError, match=reason):
        sa.count_tokens(messages, model)


def test_a_missing_extra_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tokens, "import_module", missing)
    tokens._tokenizer.cache_clear()
    try:
        assert not sa.count_tokens("hello").exact
    finally:
        tokens._tokenizer.cache_clear()


FITS = " word" * 400_000
OVER = FITS + " word"


async def test_400_000_tokens_pass_and_one_more_is_refused_with_the_numbers() -> None:
    transport = ScriptedTransport(keep=False)
    async with client(transport) as c:
        await c.chat(FITS)
        with pytest.raises(
            sa.InvalidRequestError,
            match=r"have 400001 tokens, more than the 400000 of gpt-5\.4-mini's context window",
        ):
            await c.chat([sa.user(OVER)])
        await c.chat(OVER, model="unheard-of")
        await c.chat(OVER, model="claude-4-sonnet")


@pytest.mark.usefixtures("without_the_extra")
async def test_without_the_extra_only_a_lower_bound_refuses() -> None:
    async with client(ScriptedTransport(keep=False)) as c:
        await c.chat(OVER)
        await c.chat(" " * 128 * 400_000)
        with pytest.raises(sa.InvalidRequestError, match="have at least 400001 tokens"):
            await c.chat(" " * (128 * 400_000 + 1))


async def test_images_are_not_counted() -> None:
    noise = io.BytesIO()
    Image.effect_noise((1200, 1200), 100).save(noise, "PNG")
    assert len(noise.getvalue()) > 1_000_000
    picture = sa.image(noise.getvalue())
    async with client(ScriptedTransport(keep=False)) as c:
        await c.chat([sa.user("what is it?", picture)])


async def test_a_fan_out_fails_that_row_alone() -> None:
    async with client(ScriptedTransport(otherwise=lambda _: answer("ok"), keep=False)) as c:
        outcomes = await c.chat_many([OVER, "hello"])
    assert [outcome.status for outcome in outcomes] == ["failed", "ok"]
    assert outcomes[0].attempts == 0


async def test_a_body_is_encoded_once_for_all_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def counting(*args: Any) -> bytes:
        body = encode(*args)
        encoded.append(len(body))
        return body

    monkeypatch.setattr("segmind_async._sending.call.encode", counting)
    transport = ScriptedTransport([status(503)] * 3)
    async with client(transport, retry=sa.RetryPolicy(base=0)) as c:
        await c.chat("x" * 2_000_000)
    bodies = [request.body for request in transport.requests]
    assert (len(bodies), len(encoded)) == (4, 1)
    assert all(body is bodies[0] for body in bodies)


async def test_a_body_of_megabytes_is_not_copied_for_each_attempt() -> None:
    size = 8_000_000
    peaks: list[int] = []

    class Measuring(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            peaks.append(tracemalloc.get_traced_memory()[1])
            return await super().send(request, time_left)

    text = "\n" * size
    tracemalloc.start()
    try:
        async with client(Measuring([status(503)] * 3, keep=False), retry=sa.RetryPolicy(base=0)) as c:
            await c.chat(text, model="unheard-of")
    finally:
        tracemalloc.stop()
    # Each line break is two bytes in JSON.
    assert len(peaks) == 4
    assert peaks[0] < 2 * (2 * size)
    assert peaks[-1] - peaks[0] < size / 10


async def test_megabytes_over_a_real_socket_arrive_whole_at_each_attempt() -> None:
    text = " word" * 300_000
    async with Emulator(balance=50) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url, retry=sa.RetryPolicy(base=0)) as c:
            emulator.script(faults.status(503), faults.Reset())
            reply = await c.chat(text)
    assert reply.attempts == 3
    assert reply.text == f"echo: {text}"


async def test_a_long_prompt_is_in_no_log_record_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with sa.SegmindClient(KEY, transport=ScriptedTransport([status(400)])) as c:
            with pytest.raises(sa.BadRequestError) as caught:
                await c.chat("needle " * 100_000)
    assert "needle" not in repr(caught.value) + str(caught.value.details)
    assert "needle" not in str(
        [record.__dict__ for record in caplog.records if record.name == "segmind_async"]
    )


async def test_an_answer_that_takes_long_needs_longer_timeouts() -> None:
    transport = ScriptedTransport(latency=1500)
    async with client(transport, timeouts=sa.Timeouts(total=3600, attempt=1800)) as c:
        began = anyio.current_time()
        await c.chat("128 000 tokens, please")
        assert anyio.current_time() - began == 1500


@given(st.text(alphabet="aZé 1\n.'s漢", max_size=300), st.integers(1, 40))
def test_counting_in_pieces_counts_the_same(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = sa.count_tokens(text)
        patch.setattr(tokens, "_PIECE", size)
        assert sa.count_tokens(text) == whole


async def test_a_long_prompt_is_counted_in_a_thread_and_a_short_one_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted_in: list[int] = []
    check = tokens.check_context_window

    def look(model: str, messages: Any, size: int) -> None:
        counted_in.append(threading.get_ident())
        check(model, messages, size)

    monkeypatch.setattr("segmind_async._sending.call.check_context_window", look)
    async with client() as opened:
        await opened.chat("short")
        assert not counted_in
        await opened.chat("word " * 100_000)
    assert len(counted_in) == 1
    assert counted_in[0] != threading.get_ident()
