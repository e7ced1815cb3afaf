"""A page in headless Chromium, driven over its DevTools protocol: what it holds, says, and looks like."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        """What the console was told: exceptions, refused content, failed requests."""

    async def listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if not answer.done():  # or nobody waits for it any more
                    answer.set_result(told)
            elif told["method"] == "Runtime.exceptionThrown" or _is_serious(told):
                self.complaints.append(str(told["params"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        with anyio.fail_after(20):
            told = await answer
        assert "error" not in told, told
        return dict(told["result"])

    async def value(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        try:
            with anyio.fail_after(seconds):
                while not await self.value(script):
                    await anyio.sleep(0.1)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise AssertionError(f"never true: {script}\n{shown}\n{self.complaints}") from None

    async def look(self, width: int, height: int, *, dark: bool) -> None:
        """Take the size of a screen, and the colours its owner prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


def _is_serious(told: dict[str, Any]) -> bool:
    return told["method"] == "Log.entryAdded" and str(told["params"]["entry"]["level"]) != "verbose"


@asynccontextmanager
async def opened() -> AsyncIterator[Page]:
    """Open a tab in a browser of its own."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            found,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
            *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(await _tab(session, process.stderr), max_msg_size=0) as socket:
                    page = Page(socket)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(page.listen)
                        for domain in ("Page", "Runtime", "Log"):
                            await page.call(f"{domain}.enable")
                        yield page
                        tasks.cancel_scope.cancel()
        finally:
            process.terminate()
            await process.communicate()


async def _tab(session: aiohttp.ClientSession, told: asyncio.StreamReader) -> str:
    with anyio.fail_after(30):
        while True:
            line = (await told.readline()).decode()
            assert line, "the browser has ended"
            if "DevTools listening on ws://" in line:
                break
        address = line.split("ws://")[1].split("/")[0]
        while True:
            async with session.get(f"http://{address}/json/list") as response:
                for one in await response.json(content_type=None):
                    if one["type"] == "page":
                        return str(one["webSocketDebuggerUrl"])
            await anyio.sleep(0.1)
