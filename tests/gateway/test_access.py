"""Who is let in, and where a gateway may listen."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async import ConfigurationError
from segmind_async.gateway import GatewayOptions
from segmind_async.gateway import _access as access
from segmind_async.gateway._errors import GatewayError
from tests.gateway.support import TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer  {TOKEN}"},
        {"x-api-key": TOKEN},
        {"x-api-key": "second-token"},
    ],
)
def test_a_token_opens(headers: dict[str, str]) -> None:
    access.Tokens([TOKEN, "second-token"]).check(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer wrong", "x-api-key": TOKEN},
        {"x-api-key": "\udcff"},
    ],
)
def test_anything_else_is_a_401(headers: dict[str, str]) -> None:
    with pytest.raises(GatewayError) as caught:
        access.Tokens([TOKEN]).check(headers)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


def test_every_token_is_compared_whatever_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that ends early tells by its duration how much of a guess was right."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(access, "compare_digest", compare)
    tokens = access.Tokens(["token-one", "token-two", "token-three"])
    for given in ("token-one", "token-three"):
        tokens.check({"x-api-key": given})
    with pytest.raises(GatewayError):
        tokens.check({"x-api-key": "t"})
    assert len(compared) == 9
    assert {len(one) for pair in compared for one in pair} == {64}


@pytest.mark.parametrize("host", ["localhost:8800", "127.0.0.1", "127.8.8.8:1", "[::1]:8800", "LOCALHOST"])
def test_without_a_token_this_machine_is_served(host: str) -> None:
    access.Tokens([]).check({})
    access.Tokens([]).check_host(host)


@pytest.mark.parametrize("host", ["rebound.example:8800", "10.0.0.1", "", "[::1", "a" * 100])
def test_without_a_token_no_other_name_is(host: str) -> None:
    with pytest.raises(GatewayError) as caught:
        access.Tokens([]).check_host(host)
    assert caught.value.status == 403
    access.Tokens([TOKEN]).check_host(host)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"host": "0.0.0.0"}, "give a token"),
        ({"host": "::"}, "give a token"),
        ({"host": "gateway.example"}, "give a token"),
        ({"tokens": ["short"]}, "at least 8"),
        ({"tokens": ["with a blank"]}, "no blanks"),
        ({"tokens": ["nön-ascii-token"]}, "ASCII"),
        ({"port": 65536}, "port=65536"),
        ({"port": -1}, "port=-1"),
        ({"max_body_bytes": 1}, "max_body_bytes=1"),
        ({"body_timeout": 0}, "body_timeout=0"),
        ({"heartbeat": 0}, "heartbeat=0"),
        ({"grace": -1}, "grace=-1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GatewayOptions(**settings)
    assert says in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(GatewayOptions(host="0.0.0.0", tokens=[TOKEN]))
