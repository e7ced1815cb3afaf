"""The page and its stream over loopback: who may look, what they see, and how it ends."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from decimal import Decimal
from hashlib import sha256
from typing import Any

import aiohttp
import anyio
import pytest

from segmind_async import RetryPolicy
from segmind_async.emulator import faults
from segmind_async.gateway import BudgetRule, GatewayOptions
from segmind_async.gateway._budgets.budgets import Budgets
from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._load import Load
from segmind_async.gateway._page import routes
from segmind_async.gateway._page.snapshot import snapshot
from tests.gateway.support import TOKEN, World, asked, world

OWN = "research-only-token"
HOSTILE = "</script><img src=x onerror=alert(1)>\n\x1b[2J\u202e SG_0123456789abcdef"


def url_of(w: World, path: str) -> str:
    return w.gateway.url.removesuffix("/v1") + path


async def events(response: aiohttp.ClientResponse, count: int) -> list[Any]:
    """Return the next snapshots."""
    found: list[Any] = []
    while len(found) < count:
        line = await response.content.readuntil(b"\n\n")
        assert line.startswith(b"data: "), line
        assert line.count(b"\n") == 2
        found.append(json.loads(line[6:]))
    return found


async def test_the_page_loads_nothing_from_elsewhere_and_runs_only_its_own_script() -> None:
    async with world() as w, w.session.get(url_of(w, "/")) as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert response.content_type == "text/html"
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    # Texts from outside never become markup, and attributes hold neither styles nor scripts.
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\bon\w+=\"|style=\"", text)


async def test_the_stream_tells_the_figures_once_a_second() -> None:
    async with world() as w:
        await w.chat()
        w.emulator.script(faults.status(400, HOSTILE))
        await w.chat()
        async with w.session.get(url_of(w, "/live")) as response:
            assert response.content_type == "text/event-stream"
            began = anyio.current_time()
            found = await events(response, 3)
            assert anyio.current_time() - began == pytest.approx(2)
            assert [round(one["uptime"] - found[0]["uptime"]) for one in found] == [0, 1, 2]
        spent = w.client.statistics().spent
        assert Decimal(found[0]["credits"]["spent"]) == spent
        [[answered, failed, cost]] = found[0]["minutes"]
        assert (answered, failed, Decimal(cost)) == (1, 1, spent)
        assert found[0]["state"] == "idle"
        assert found[0]["audience"] is None
        [error] = found[0]["errors"]
        assert (error["status"], error["about"], error["count"]) == (400, "gpt-5.4-mini", 1)
        assert r"\x1b[2J\u202e" in error["message"]
        assert "0123456789" not in error["message"]


async def test_a_token_is_needed_for_the_figures_and_not_for_the_page() -> None:
    async with world(options=GatewayOptions(port=0, tokens=[TOKEN])) as w:
        assert (await w.session.get(url_of(w, "/"))).status == 200
        for given in ("/live", f"/live?token={TOKEN}"):
            assert (await w.session.get(url_of(w, given))).status == 401
        await w.session.get(url_of(w, "/live"), headers={"Authorization": "Bearer wrong"})
        async with w.session.get(
            url_of(w, "/live"), headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            [found] = await events(response, 1)
    # That the page asked for figures without a token is no news; that somebody tried a wrong one is.
    assert [(one["code"], one["count"]) for one in found["errors"]] == [("invalid_api_key", 1)]


async def test_callers_without_access_choose_nothing_of_what_is_shown() -> None:
    rules = (BudgetRule("research", OWN),)
    async with world(options=GatewayOptions(port=0, tokens=[TOKEN], budgets=rules)) as w:
        right = {"Authorization": f"Bearer {TOKEN}"}
        await w.post("/chat/completions", asked(n=2), headers=right)
        for name in "abcdefghijklmnopqrstuvwxyz":
            wrong = {"Authorization": "Bearer wrong", "x-segmind-budget": "research"}
            await w.session.post(f"{w.gateway.url}/{name}", headers=wrong)
            await w.session.post(url_of(w, f"/healthz?{name}"), headers=wrong)
        async with w.session.get(url_of(w, "/live"), headers=right) as response:
            [found] = await events(response, 1)
    told = [(one["status"], one["about"], one["budget"], one["count"]) for one in found["errors"]]
    assert told == [
        (405, "no access", None, 26),
        (401, "no access", None, 26),
        (400, "POST /v1/chat/completions", None, 1),
    ]


async def test_a_host_that_a_caller_names_is_not_shown() -> None:
    async with world() as w:
        for letter in "abcdefghijklmnopqrstuvwxyz":
            await w.session.get(url_of(w, "/"), headers={"Host": f"{letter}.example"})
        async with w.session.get(url_of(w, "/live")) as response:
            [found] = await events(response, 1)
    assert [(one["code"], one["count"]) for one in found["errors"]] == [("host_not_allowed", 26)]
    assert "example" not in str(found["errors"])


async def test_what_a_slow_viewer_is_shown_stays_as_it_was() -> None:
    async with world() as w:
        page = routes.LivePage(w.client, Budgets(w.client, (), None), Load(1, 1))
        page.ended(Decimal(1), failed=False)
        page.turned_away(GatewayError(401, "no"))
        early = page._moment()
        shown = snapshot(early)
        await anyio.sleep(180)
        page.ended(Decimal(1), failed=False)
        page.turned_away(GatewayError(401, "no"))
        assert snapshot(early) == shown
        assert [one.answered for one in page._moment().minutes] == [1, 0, 0, 1]


async def test_a_page_of_another_site_sees_nothing() -> None:
    async with world() as w:
        for path in ("/", "/live"):
            rebound = await w.session.get(url_of(w, path), headers={"Host": "evil.example"})
            assert rebound.status == 403
        for site in ("cross-site", "same-site"):
            response = await w.session.get(url_of(w, "/live"), headers={"Sec-Fetch-Site": site})
            assert response.status == 403
        async with w.session.get(url_of(w, "/live"), headers={"Sec-Fetch-Site": "same-origin"}) as response:
            await events(response, 1)


async def test_a_budget_sees_its_own_row_and_errors(tmp_path: Any) -> None:
    rules = (
        BudgetRule("research", OWN, credits=Decimal(0)),
        BudgetRule("others", credits_per_day=Decimal(1), max_in_flight=2),
    )
    options = GatewayOptions(port=0, tokens=[TOKEN], budgets=rules, state=tmp_path / "state.db")
    async with world(options=options, latency=50) as w:
        main = {"Authorization": f"Bearer {TOKEN}"}
        own = {"Authorization": f"Bearer {OWN}"}
        assert (await w.post("/chat/completions", asked(), headers=own)).status == 402
        other = {**main, "x-segmind-budget": "others"}
        assert (await w.post("/chat/completions", asked(n=2), headers=other)).status == 400
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(post, w, other)
            await anyio.sleep(1)
            async with w.session.get(url_of(w, "/live"), headers=own) as response:
                [narrow] = await events(response, 1)
            async with w.session.get(url_of(w, "/live"), headers=main) as response:
                [wide] = await events(response, 1)
            tasks.cancel_scope.cancel()
    assert [one["name"] for one in narrow["budgets"]] == ["research"]
    assert [(one["code"], one["budget"]) for one in narrow["errors"]] == [("insufficient_quota", "research")]
    assert [one["name"] for one in wide["budgets"]] == ["research", "others"]
    assert [one["budget"] for one in wide["errors"]] == ["others", "research"]
    assert wide["budgets"][1]["in_flight"] >= 1
    assert wide["budgets"][1]["in_flight"] + wide["budgets"][1]["waiting"] == 5


async def post(w: World, headers: dict[str, str]) -> None:
    await w.post("/chat/completions", asked(), headers=headers)


async def test_viewers_are_bounded_and_those_that_leave_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[routes.LivePage] = []
    monkeypatch.setattr(routes, "MOST_VIEWERS", 2)
    own = routes.LivePage.__init__

    def noted(self: routes.LivePage, *given: Any) -> None:
        own(self, *given)
        pages.append(self)

    monkeypatch.setattr(routes.LivePage, "__init__", noted)
    async with world() as w:
        async with w.session.get(url_of(w, "/live")) as one, w.session.get(url_of(w, "/live")) as two:
            await events(one, 1)
            await events(two, 1)
            refused = await w.session.get(url_of(w, "/live"))
            assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            assert (await refused.json())["error"]["code"] == "too_many_viewers"
            assert pages[0].viewers == 2
        await anyio.sleep(1)
        assert pages[0].viewers == 0
        async with w.session.get(url_of(w, "/live")) as response:
            await events(response, 1)


async def test_a_viewer_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:

        async def never(*_: Any) -> None:
            await anyio.sleep_forever()

        async with w.session.get(url_of(w, "/live")) as response:
            await events(response, 1)
            monkeypatch.setattr(aiohttp.web.StreamResponse, "write", never)
            began = anyio.current_time()
            assert await response.content.read() == b""
            assert anyio.current_time() - began == pytest.approx(31, abs=1)


async def test_the_end_of_the_gateway_ends_the_stream_at_once() -> None:
    async with world() as w, w.session.get(url_of(w, "/live")) as response:
        await events(response, 1)
        began = anyio.current_time()
        await w.gateway.__aexit__(None, None, None)
        assert (await response.content.read()).endswith(b"event: stopping\ndata: {}\n\n")
        assert anyio.current_time() - began < 5


async def test_an_error_within_an_event_stream_is_shown_too() -> None:
    async with world(latency=15, client={"retry": RetryPolicy(retries=0)}) as w:
        w.emulator.script(faults.Answer(200, b"<html>"))
        response = await w.chat(stream=True)
        assert response.status == 200
        async with w.session.get(url_of(w, "/live")) as stream:
            [found] = await events(stream, 1)
    assert [one["code"] for one in found["errors"]] == ["upstream_unreadable"]


async def test_a_bug_here_counts_as_a_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        monkeypatch.setattr(w.client, "chat", None)
        assert (await w.chat()).status == 500
        async with w.session.get(url_of(w, "/live")) as response:
            [found] = await events(response, 1)
    assert found["minutes"] == [[0, 1, "0"]]
