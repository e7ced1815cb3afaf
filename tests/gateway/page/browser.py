"""The live page in headless Chromium, under load: `python -m tests.gateway.page.browser [FOLDER]`.

It asks for the token, shows what callers do, takes hostile texts for texts, says when the gateway is gone, and
finds it again. Pictures of it (light, dark, on a phone) go into FOLDER.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import anyio
import pytest

from segmind_async import Limits, SegmindClient
from segmind_async.emulator import CallFacts, Emulator, faults
from segmind_async.gateway import BudgetRule, Gateway, GatewayOptions
from segmind_async.gateway._page import routes
from segmind_async.gateway._page.history import History
from tests.gateway.support import TOKEN, asked

from .chromium import Page, opened

HOSTILE = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>\u202e SG_0123456789abcdef"
SCREENS = {
    "light": (1440, 1000, False),
    "dark": (1440, 1000, True),
    "wall": (1920, 1080, True),
    "phone": (390, 844, False),
}
SECOND_KEY = "SG_fedcba9876543210"
LIMITS = Limits(max_in_flight=48, floor=Decimal(1))
RULES = (
    BudgetRule("research", "a" * 12, credits_per_day=Decimal("2.5"), max_in_flight=8, priority="bulk"),
    BudgetRule("assistants", "b" * 12, credits=Decimal(40), priority="interactive"),
    BudgetRule("a-team-with-a-name-that-is-rather-long-for-a-table", "c" * 12, credits=Decimal("0")),
)


class Hour(History):
    """A history of an hour, so that the chart shows one."""

    def __init__(self, now: float) -> None:
        super().__init__(now - 3600)
        chance = random.Random(1)
        for minute in range(60):
            calls = int(40 + 30 * chance.random() + minute / 2) if not 20 < minute < 24 else 0
            for _ in range(calls):
                self.add(now - 3600 + 60 * minute, Decimal("0.0006"), failed=chance.random() < 0.05)


def cost(_facts: CallFacts, chance: random.Random) -> Decimal:
    return Decimal(round(0.0006 * chance.lognormvariate(0, 0.5), 10))


async def callers(url: str) -> None:
    """Call without end, as three teams and some in none."""
    tokens = [TOKEN] * 30 + ["a" * 12] * 20 + ["b" * 12] * 14 + ["c" * 12]

    async def one(token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        while True:
            async with session.post(f"{url}/chat/completions", json=asked(), headers=headers) as response:
                await response.read()
            await anyio.sleep(0.2 if response.ok else 5)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with anyio.create_task_group() as tasks:
            for token in tokens:
                tasks.start_soon(one, token)


async def troubles(url: str, emulator: Emulator) -> None:
    """Let some callers be told errors."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        for path in ("/embeddings", "/<b>bold</b>"):
            await session.post(url + path, json={})
        await session.post(f"{url}/chat/completions", json=asked(temperature="hot"))
        await session.get(f"{url}/models", headers={"Authorization": "Bearer wrong"})
        for fault in (faults.status(422, "x" * 5000), faults.status(400, HOSTILE)):
            emulator.script(fault)
            async with session.post(f"{url}/chat/completions", json=asked("bad")) as response:
                assert response.status == 400


async def check(page: Page, folder: Path) -> None:
    """Go through what a person sees."""
    await page.until("document.getElementById('door')?.hidden === false")
    await page.look(390, 844, dark=False)
    await page.picture(folder / "token.png")
    await enter(page, "wrong-token")
    await page.until("document.getElementById('wrong').textContent.includes('wrong')")
    await enter(page, TOKEN)
    await page.until("!document.getElementById('board').hidden")
    assert TOKEN not in str(await page.value("location.href"))
    await page.until("document.getElementById('state').textContent === 'working'")
    await page.until("document.getElementById('errors').textContent.includes('onerror')")
    await page.until("document.querySelectorAll('#keys tr').length === 2")
    assert await page.value(
        "window.pwned === undefined && !document.querySelector('#errors img, #errors script')"
    )
    text = str(await page.value("document.body.innerText"))
    assert "SG_0123456789" not in text
    assert "\\u202e" in text
    for name, (width, height, dark) in SCREENS.items():
        await page.look(width, height, dark=dark)
        await anyio.sleep(1.5)
        await page.picture(folder / f"{name}.png")
        assert await page.value("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        cut = "[...document.querySelectorAll('.figure, td, th, main p')].filter(n => n.scrollWidth > n.clientWidth + 1).map(n => n.innerText)"
        assert await page.value(cut) == [], f"{name} cuts {await page.value(cut)}"
        wide = "[...document.querySelectorAll('table')].filter(n => n.offsetWidth > n.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(n.parentElement).paddingLeft) + 1).map(n => n.innerText)"
        assert await page.value(wide) == [], f"{name} has wide tables: {await page.value(wide)}"


async def enter(page: Page, token: str) -> None:
    await page.until("document.activeElement.id === 'token'")
    await page.call("Input.insertText", text=token)
    for kind in ("keyDown", "keyUp"):
        await page.call("Input.dispatchKeyEvent", type=kind, key="Enter", text="\r", windowsVirtualKeyCode=13)


@asynccontextmanager
async def loaded(
    emulator: Emulator, client: SegmindClient, port: int, folder: Path
) -> AsyncIterator[Gateway]:
    options = GatewayOptions(port=port, tokens=[TOKEN], budgets=RULES, state=folder / "state.db", grace=1)
    async with Gateway(client, options) as gateway, anyio.create_task_group() as tasks:
        await troubles(gateway.url, emulator)
        tasks.start_soon(callers, gateway.url)
        yield gateway
        tasks.cancel_scope.cancel()


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as state, pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "History", Hour)
        async with (
            opened() as page,
            Emulator(balance=6, cost=cost, latency=lambda *_: random.uniform(0.3, 1.2)) as emulator,
            SegmindClient(
                api_keys=[emulator.key, SECOND_KEY], base_url=emulator.url, limits=LIMITS
            ) as client,
        ):
            emulator.state.add_account(SECOND_KEY, 4)
            async with loaded(emulator, client, 0, Path(state)) as gateway:
                address = gateway.url.removesuffix("/v1") + "/"
                await page.call("Page.navigate", url=address)
                await check(page, folder)
            await page.until("document.getElementById('state').textContent === 'not connected'")
            await page.until("document.getElementById('news').textContent.includes('Trying again')")
            await page.picture(folder / "gone.png")
            async with loaded(emulator, client, int(address.rsplit(":", 1)[1].strip("/")), Path(state)):
                await page.until("document.getElementById('state').textContent === 'working'")
                assert await page.value("!document.body.classList.contains('stale')")
            # The browser itself reports a 401, and that nobody listens.
            refused = [one for one in page.complaints if "401" not in one and "ERR_" not in one]
            assert refused == [], refused
    print(f"the page works; pictures are in {folder}")


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/page")
    given.mkdir(parents=True, exist_ok=True)
    anyio.run(main, given)
