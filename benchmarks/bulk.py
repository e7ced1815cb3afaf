"""Rows of a file through the clients people take for bulk work: CPU, memory, and what a `kill -9` costs.

Each reads the same JSON lines, asks the same server of OpenAI's form, and writes an answer for each row, as
its documentation shows it. Some runs are measured to their end; another is killed when the server has
answered half of the rows, and started again: what was answered, and so paid, and is asked again, was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import peers, server
from .clients import KEY, MODEL
from .tables import Table, middle

REQUIREMENTS = ("async-batch-llm==0.28.0", "litellm==1.110.2", "openai[aiohttp]>=3.57,<4")
"""Of the other people's clients, in an environment of their own."""

IN_FLIGHT = 64
LATENCY, SPREAD = 0.05, 0.5

OURS, SCRIPT = "segmind-async run", "script with aiohttp"


def texts(path: str) -> list[str]:
    return [json.loads(line)["prompt"] for line in Path(path).read_text(encoding="utf-8").splitlines()]


def script(url: str, rows: str, output: str) -> None:
    """What many people write: a semaphore, and a line for each answer when it is there."""
    import aiohttp  # noqa: PLC0415  # each way is a process of its own

    async def main() -> None:
        slots = asyncio.Semaphore(IN_FLIGHT)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"x-api-key": KEY}) as session:
            with Path(output).open("w", encoding="utf-8") as out:  # noqa: ASYNC230  # as people write it

                async def ask(number: int, text: str) -> None:
                    async with slots:
                        body = {"messages": [{"role": "user", "content": text}]}
                        async with session.post(f"{url}/{MODEL}", json=body) as response:
                            answer = await response.json()
                    text = answer["choices"][0]["message"]["content"]
                    out.write(json.dumps({"id": number, "text": text}) + "\n")

                await asyncio.gather(*(ask(*row) for row in enumerate(texts(rows))))  # noqa: TID251  # same

    asyncio.run(main())


def openai_gather(url: str, rows: str, output: str) -> None:
    import openai  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

    async def main() -> list[str]:
        slots = asyncio.Semaphore(IN_FLIGHT)
        async with openai.AsyncOpenAI(api_key="k", base_url=url) as client:

            async def ask(text: str) -> str:
                async with slots:
                    messages: Any = [{"role": "user", "content": text}]
                    got = await client.chat.completions.create(model=MODEL, messages=messages)
                return str(got.choices[0].message.content)

            return await asyncio.gather(*map(ask, texts(rows)))  # noqa: TID251  # as its users write it

    lines = (json.dumps({"text": text}) + "\n" for text in asyncio.run(main()))
    Path(output).write_text("".join(lines), encoding="utf-8")


def litellm_batch(url: str, rows: str, output: str) -> None:
    import litellm  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

    asked = [[{"role": "user", "content": text}] for text in texts(rows)]
    answers = litellm.batch_completion(
        model=f"openai/{MODEL}", messages=asked, api_base=url, api_key="k", max_workers=IN_FLIGHT
    )
    lines = (json.dumps({"text": answer.choices[0].message.content}) + "\n" for answer in answers)
    Path(output).write_text("".join(lines), encoding="utf-8")


def async_batch_llm(url: str, rows: str, output: str) -> None:
    """With its store of artifacts, from which it can go on."""
    import async_batch_llm as library  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

    async def main() -> None:
        model = library.OpenAICompatibleModel.from_api_key(MODEL, api_key="k", base_url=url)
        store = library.JsonlArtifactStore(output + ".artifacts")
        stream = library.process_stream(
            library.ModelStrategy(model),
            texts(rows),
            concurrency=IN_FLIGHT,
            artifact_store=store,
            resume=library.ResumePolicy.REUSE_SUCCESSES,
        )
        with Path(output).open("w", encoding="utf-8") as out:  # noqa: ASYNC230  # as people write it
            async for result in stream:
                out.write(json.dumps({"id": result.item_id, "text": result.output}) + "\n")

    asyncio.run(main())


WAYS: dict[str, Callable[[str, str, str], None]] = {
    SCRIPT: script,
    "AsyncOpenAI, gather": openai_gather,
    "litellm.batch_completion": litellm_batch,
    "async-batch-llm": async_batch_llm,
}


@dataclass(frozen=True)
class Run:
    """One process, to its end or its death."""

    cpu: float
    """Seconds, user and system."""
    peak: float
    """Highest RSS in MB."""
    seconds: float
    answered: int
    """Calls that the server has answered meanwhile; reads of the balance are none."""


class Bench:
    """The rows, the server, and what both are asked."""

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.url, self.folder, self.rows = url, folder, rows
        self.input = folder / "rows.jsonl"
        lines = (
            json.dumps({"id": f"r{n}", "prompt": f"{n} " + "Is this spam? " * 8}) + "\n" for n in range(rows)
        )
        self.input.write_text("".join(lines), encoding="utf-8")
        self._asked = 0
        """Probes of the server that this process has sent."""

    def run(self, name: str, output: Path, until: int | None = None) -> Run:
        """Run a client; kill it when the server has answered *until* requests of it, None: never."""
        first, asked, began = self._answered(), self._asked, time.monotonic()
        process = subprocess.Popen(
            self._words(name, output),
            env={**os.environ, "SEGMIND_API_KEY": KEY, "SEGMIND_BASE_URL": self.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while until is not None and process.poll() is None:
            if self._answered() - first - (self._asked - asked) >= until:
                process.kill()
                break
            time.sleep(0.02)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if until is None and process.returncode:
            raise RuntimeError(f"{name} has failed: {said.decode()[-2000:]}")
        answered = self._answered() - first - (self._asked - asked)
        peak = usage.ru_maxrss / 1024
        return Run(usage.ru_utime + usage.ru_stime, peak, time.monotonic() - began, answered)

    def _words(self, name: str, output: Path) -> list[str]:
        if name == OURS:
            words = [sys.executable, "-m", "segmind_async", "run", str(self.input), "-o", str(output)]
            return [*words, "--max-in-flight", str(IN_FLIGHT), "--yes"]
        python = sys.executable if name == SCRIPT else peers.environment("bulk", REQUIREMENTS)
        return [python, "-m", "benchmarks.bulk", name, self.url, str(self.input), str(output)]

    def _answered(self) -> int:
        """Return how many calls the server has answered before this one: it numbers them."""
        self._asked += 1
        request = urllib.request.Request(f"{self.url}/{MODEL}", data=b"{}")
        with urllib.request.urlopen(request) as response:
            return int(response.headers["x-request-id"].removeprefix("req-"))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace) -> list[Table]:
    peers.environment("bulk", REQUIREMENTS)
    names = (OURS, *WAYS)
    whole: dict[str, list[Run]] = {name: [] for name in names}
    lost: dict[str, int] = {}
    with server.running(LATENCY, SPREAD) as url, tempfile.TemporaryDirectory() as name:
        bench = Bench(url, Path(name), options.rows)
        for number in range(options.rounds):
            for way in names:
                output = bench.folder / f"{number} {way}.jsonl"
                whole[way].append(bench.run(way, output))
                found = sum(1 for _ in output.open(encoding="utf-8"))
                if found != options.rows:
                    raise RuntimeError(f"{way} has written {found} of {options.rows} rows")
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        for way in names:
            output = bench.folder / f"killed {way}.jsonl"
            killed = bench.run(way, output, options.rows // 2)
            again = bench.run(way, output)
            lost[way] = killed.answered + again.answered - options.rows
    base = whole[SCRIPT]
    rows = []
    for way in names:
        ratios = [one.cpu / other.cpu for one, other in zip(whole[way], base, strict=True)]
        each = [one.cpu / options.rows * 1e6 for one in whole[way]]
        rows.append(
            [
                way,
                f"{middle(each):.0f}",
                f"{middle(ratios):.2f}",
                f"{middle([one.peak for one in whole[way]]):.0f}",
                str(lost[way]),
            ]
        )
    columns = (
        "client",
        "CPU µs a row",
        "over the script",
        "highest RSS, MB",
        "paid twice after a `kill -9` at half",
    )
    return [Table("bulk", columns, rows)]


if __name__ == "__main__":
    WAYS[sys.argv[1]](*sys.argv[2:5])
