"""The gateway that an actor holds: it listens from its construction on, and again after its process died."""

from __future__ import annotations

import os
import threading
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

import segmind_async as sa
from segmind_async._jobs.journal.lock import Lock
from segmind_async.emulator import Emulator
from segmind_async.ray import GatewaySettings
from segmind_async.ray import _gateway as gateway_module
from segmind_async.ray._gateway import GatewayHost, _free_port, options_of
from segmind_async.sync import SegmindClient
from tests.engines.conftest import emulator

__all__ = ["emulator"]


def test_it_serves_and_its_budget_holds_over_a_restart_at_the_same_port(
    emulator: Emulator, tmp_path: Path
) -> None:
    settings = GatewaySettings(max_credits=Decimal("0.0001"))
    options = options_of(settings, tmp_path / "journal", "127.0.0.1", _free_port("127.0.0.1"))
    answered = []
    for _ in range(2):
        host = GatewayHost(settings, options)
        url, token = host.address()
        assert url == f"http://127.0.0.1:{options.port}/v1"
        with SegmindClient(token, url) as client:
            found = client.chat_many([f"word {n}" for n in range(20)])
            answered.append(sum(outcome.completion is not None for outcome in found))
        host.close()
    assert 0 < answered[0] < 20
    assert answered[1] <= 1
    assert emulator.requests == sum(answered)


def test_what_keeps_it_from_starting_is_told_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    settings = GatewaySettings()
    host = GatewayHost(settings, options_of(settings, tmp_path, "127.0.0.1", 0))
    assert repr(host) == "GatewayHost(not started)"
    with pytest.raises(sa.ConfigurationError, match="SEGMIND_API_KEY"):
        host.address()
    host.close()


@pytest.mark.parametrize("by", ["environment", "settings"])
def test_keys_are_those_of_the_driver_whatever_the_cluster_was_started_with(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    environment = gateway_module.own_environment()
    assert environment["SEGMIND_API_KEY"] == emulator.key
    monkeypatch.setattr(os, "environ", {"SEGMIND_API_KEY": "SG_of_the_cluster"})
    settings = GatewaySettings()
    if by == "settings":
        settings = GatewaySettings(base_url=emulator.url, api_keys=(emulator.key,))
        assert emulator.key not in repr(settings)
        environment = {}
    host = GatewayHost(settings, options_of(settings, tmp_path, "127.0.0.1", 0), environment)
    url, token = host.address()
    with SegmindClient(token, url) as client:
        assert client.chat("hello").text == "echo: hello"
    host.close()


def test_the_actor_is_given_the_environment_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    actor = SimpleNamespace(remote=lambda *arguments: given.extend(arguments))
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda *_, **__: None)
    ray = SimpleNamespace(
        remote=lambda _: SimpleNamespace(options=lambda **_: actor),
        util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1", scheduling_strategies=strategies),
    )
    monkeypatch.setattr(gateway_module, "engine", lambda: ray)
    monkeypatch.setattr(os, "environ", {"SEGMIND_API_KEYS": "SG_a,SG_b", "HOME": "/"})
    settings = GatewaySettings()
    gateway_module._start(settings, tmp_path, "node")
    assert given[0] == settings
    assert given[2] == {"SEGMIND_API_KEYS": "SG_a,SG_b"}


def test_it_waits_for_the_gateway_of_a_driver_that_was_killed(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    lock = Lock(tmp_path / "gateway.db.lock")

    def look(_: float) -> None:
        looked.set()
        lock.release()

    monkeypatch.setattr(gateway_module, "sleep", look)
    assert lock.take() is None
    settings = GatewaySettings()
    host = GatewayHost(settings, options_of(settings, tmp_path, "127.0.0.1", 0))
    assert looked.is_set()
    assert host.address()[0].startswith("http://127.0.0.1:")
    host.close()


def test_one_that_stays_is_named(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "_GONE_WITHIN", 0.0)
    settings = GatewaySettings()
    first = GatewayHost(settings, options_of(settings, tmp_path, "127.0.0.1", 0))
    second = GatewayHost(settings, options_of(settings, tmp_path, "127.0.0.1", 0))
    with pytest.raises(sa.ConfigurationError, match="is using the budgets in"):
        second.address()
    first.close()
