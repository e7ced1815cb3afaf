"""The client without `await`: from threads, within a running loop, with Ctrl-C, and nothing left behind."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import segmind_async as sa
from segmind_async import sync
from segmind_async.emulator import Calls, Emulator, ScriptBrain
from segmind_async.testing import RecordingHooks, ScriptedTransport, answer
from tests.support import KEY, serving


@pytest.fixture
def client() -> Iterator[sync.SegmindClient]:
    with sync.SegmindClient(KEY, transport=ScriptedTransport()) as client:
        yield client


def bridges() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "segmind_async.sync"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert not bridges()


def test_a_call(client: sync.SegmindClient) -> None:
    reply = client.chat("hello", temperature=0)
    assert (reply.text, client.statistics().spent) == ("echo: hello", reply.cost)
    assert client.balance().total == 5
    assert repr(client).startswith("sync.SegmindClient('https://")


def test_errors_are_the_same(client: sync.SegmindClient) -> None:
    with pytest.raises(sa.InvalidRequestError, match="messages is empty"):
        client.chat([])
    with pytest.raises(sa.ConfigurationError, match="max_credits=-1"):
        client.budget(max_credits=-1)
    with pytest.raises(sa.ConfigurationError, match="no API key"):
        sync.SegmindClient("")


def test_many(client: sync.SegmindClient) -> None:
    outcomes = client.chat_many(["a", "b", "c"], max_in_flight=2)
    assert [outcome.text for outcome in outcomes] == ["echo: a", "echo: b", "echo: c"]


@pytest.mark.slow
def test_a_fan_out_is_an_iterator(client: sync.SegmindClient) -> None:
    outcomes = client.fan_out((str(n) for n in range(100)), ordered=True)
    assert [outcome.index for outcome in outcomes] == list(range(100))
    assert outcomes.report.ok == 100
    assert repr(outcomes).startswith("sync.FanOut(")


@pytest.mark.slow
def test_a_fan_out_can_be_left_and_its_report_read_meanwhile(client: sync.SegmindClient) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "again"

    with client.fan_out(endless(), max_in_flight=4) as outcomes:
        for number, _ in enumerate(outcomes):
            assert outcomes.report.ok >= 1
            if number == 20:
                break
    assert outcomes.report.stop_reason is sa.StopReason.CONSUMER_LEFT
    for _ in client.fan_out(endless(), max_in_flight=4):
        break
    gc.collect()
    assert client.statistics().in_flight == 0


def test_a_fan_out_can_be_stopped(client: sync.SegmindClient) -> None:
    with client.fan_out((str(n) for n in range(1000)), max_in_flight=2) as outcomes:
        for outcome in outcomes:
            if outcome.index == 5:
                outcomes.stop("enough")
    assert (outcomes.report.stop_message, outcomes.report.rows < 20) == ("enough", True)


def test_a_budget_shares_the_thread_and_closes_only_itself(client: sync.SegmindClient) -> None:
    with client.budget(max_credits=0.5) as scoped:
        assert scoped.with_options(model="gpt-5").chat("hello").model == "gpt-5"
        assert len(bridges()) == 1
    assert (scoped.closed, client.closed) == (True, False)
    scoped.close()
    with pytest.raises(sa.ClientClosedError):
        scoped.chat("hello")
    with pytest.raises(sa.BudgetExceededError):
        client.budget(max_credits=0).chat("hello")


def test_a_closed_client_says_so_and_closes_only_once() -> None:
    client = sync.SegmindClient(KEY, transport=ScriptedTransport())
    scoped = client.budget()
    client.chat("hello")
    client.close()
    client.close()
    for one in (client, scoped):
        with pytest.raises(sa.ClientClosedError):
            one.chat("hello")
    with pytest.raises(sa.ClientClosedError), client:
        pass


def test_a_client_that_is_never_used_starts_no_thread() -> None:
    with sync.SegmindClient(KEY):
        assert not bridges()


@pytest.mark.slow
def test_a_client_that_is_forgotten_takes_its_thread_along() -> None:
    client = sync.SegmindClient(KEY, transport=ScriptedTransport())
    scoped = client.budget()
    del client
    gc.collect()
    assert scoped.chat("hello").text == "echo: hello"
    del scoped


def test_a_client_that_is_forgotten_in_its_own_thread_does_not_wait_for_itself() -> None:
    client = sync.SegmindClient(KEY, transport=ScriptedTransport())
    client.chat("hello")
    [thread] = bridges()
    held = [client._bridge]
    portal = client._bridge.portal()
    del client
    portal.start_task_soon(held.clear)
    thread.join(10)
    assert not thread.is_alive()


async def test_it_works_where_a_loop_runs_already() -> None:
    with sync.SegmindClient(KEY, transport=ScriptedTransport()) as client:
        assert client.chat("hello").text == "echo: hello"
        assert [outcome.text for outcome in client.fan_out(["a"])] == ["echo: a"]


@pytest.mark.slow
def test_many_threads_share_its_slots() -> None:
    most = 0
    transport = ScriptedTransport(latency=0.02)
    with sync.SegmindClient(KEY, transport=transport, limits=sa.Limits(max_in_flight=3)) as client:
        client.chat("costs are known now")

        def ask(n: int) -> None:
            nonlocal most
            assert client.chat(str(n)).text == f"echo: {n}"
            most = max(most, client.statistics().in_flight)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(transport.requests) == 31
    assert most <= 3


def test_the_trace_goes_along() -> None:
    hooks = RecordingHooks()
    with sync.SegmindClient(KEY, transport=ScriptedTransport(), hooks=[hooks]) as client:
        with sa.trace("script"):
            client.chat("hello")
    assert {event.trace for event in hooks.of(sa.AttemptEnded)} == {"script"}


def test_what_has_no_form_here_runs_by_the_client_beneath() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    brain = ScriptBrain(Calls([("add", {"a": 1, "b": 2})]), lambda question: question.results[0])
    with serving(Emulator(brain)) as emulator, sync.SegmindClient(emulator.key, emulator.url) as client:
        agent = client.asynchronous.agent(tools=[add])
        assert client.call(agent.run, "go").text == "3"


def test_closing_ends_what_other_threads_wait_for() -> None:
    client = sync.SegmindClient(KEY, transport=ScriptedTransport(latency=60))
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            client.chat("hello")
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not client.statistics().in_flight:
        time.sleep(0.01)
    client.close()
    thread.join(10)
    assert len(ended) == 1


SCRIPT = """
import asyncio, os, signal, threading, warnings
warnings.simplefilter("error")
from segmind_async import sync, Limits
from segmind_async.testing import ScriptedTransport

transport = ScriptedTransport(latency=30)
with sync.SegmindClient("k", transport=transport) as client:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        {wait}
    except KeyboardInterrupt:
        print("interrupted")
    transport._latency = 0
    print(client.chat("goes on").text, client.statistics().in_flight)
print([thread.name for thread in threading.enumerate() if thread.name == "segmind_async.sync"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "wait", ['client.chat("hello")', 'list(client.fan_out(["a", "b"]))', 'client.chat_many(["a", "b"])']
)
def test_ctrl_c_cancels_the_call_and_the_client_still_works(wait: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(wait=wait)],
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted\necho: goes on 0\n[]\n", "")


@pytest.mark.slow
def test_a_script_that_never_closes_ends_without_a_word() -> None:
    script = textwrap.dedent(
        """
        import sys, warnings
        warnings.simplefilter("error")
        from segmind_async import sync
        client = sync.SegmindClient("k", sys.argv[1])
        print(client.chat("hello").text)
        """
    )
    with serving(Emulator(key="k")) as emulator:
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", script, emulator.url],
            capture_output=True,
            text=True,
            timeout=25,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == ("echo: hello\n", "", 0)


@pytest.mark.parametrize(
    ("typed", "method"), [(sync.ClientSettings, "__init__"), (sync.BudgetSettings, "budget")]
)
def test_settings_are_those_of_the_async_client(typed: Any, method: str) -> None:
    names = set(inspect.signature(getattr(sa.SegmindClient, method)).parameters)
    assert set(get_type_hints(typed)) == names - {"self", "api_key", "base_url", "model"}


def test_answers_of_a_type(tmp_path: Path) -> None:
    transport = ScriptedTransport(otherwise=lambda _: answer('{"value": 7}'))
    with sync.SegmindClient(KEY, transport=transport) as client:
        assert client.chat("x", parse=int).parsed == 7
        assert [outcome.parsed for outcome in client.fan_out(["x"], parse=int)] == [7]
        assert [outcome.parsed for outcome in client.chat_many(["x"], parse=int)] == [7]
        journal = tmp_path / "j"
        assert [outcome.parsed for outcome in client.run_job(["x"], journal=journal, parse=int)] == [7]


@pytest.mark.slow
def test_a_job_that_is_left_can_be_continued(client: sync.SegmindClient, tmp_path: Path) -> None:
    rows, journal = [f"row {n}" for n in range(20)], tmp_path / "j"
    with client.run_job(rows, journal=journal, max_in_flight=2) as outcomes:
        first = next(iter(outcomes))
        outcomes.stop("enough")
    assert first.text == "echo: row 0"
    again = client.run_job(rows, journal=journal, ordered=True)
    assert [outcome.text for outcome in again] == [f"echo: {row}" for row in rows]
    assert again.report.counts == {"ok": 20}
    assert again.report.resumed >= 1
    assert not again.samples.errors
    assert repr(again).startswith("sync.JobRun(")


def test_a_journal_that_is_in_use_is_refused(client: sync.SegmindClient, tmp_path: Path) -> None:
    with (
        client.run_job(["a"], journal=tmp_path / "j"),
        pytest.raises(sa.JournalError, match="is working on this journal"),
        client.run_job(["a"], journal=tmp_path / "j"),
    ):
        pass


def test_every_method_has_its_twin() -> None:
    asynchronous = {name for name in dir(sa.SegmindClient) if not name.startswith("_")}
    known = {name for name in dir(sync.SegmindClient) if not name.startswith("_")}
    assert asynchronous - known == {"aclose", "agent"}
