"""Real mails, repeated and salted, through Ray: `.venv-engine/bin/python -m tests.ray.mails` after `make engine`.

First in one process, then on a cluster of this machine at the same rate, then on it while workers, nodes and
the gateway are killed. Needs npm, for the mails. It says how fast the cluster was beside the one process, and
what the kills have cost, by the emulated service's own books.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from segmind_async import Limits
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob, read_folder
from segmind_async.ray import GatewaySettings, run_dataset
from segmind_async.sync import SegmindClient
from tests.jobs.mails import example
from tests.support import KEY, serving

NODE = {"num_cpus": 1, "object_store_memory": 200 * 1024 * 1024}
CHARACTERS = 2000
"""Of each mail: what is asked here is how rows flow, not how they read."""


@dataclass
class Middle:
    """How fast the middle four fifths of a run were: without its start and its end."""

    calls: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.calls / self.seconds


@contextmanager
def watched(emulator: Emulator, rows: int) -> Iterator[Middle]:
    """Measure a run of so many rows, by the calls that the service gets."""
    found, before, over = Middle(), emulator.requests, threading.Event()

    def watch() -> None:
        began = 0.0
        while not over.wait(0.05):
            done = emulator.requests - before
            if not began and done >= rows // 10:
                began, found.calls = time.monotonic(), -done
            if done >= rows * 9 // 10:
                found.calls += done
                found.seconds = time.monotonic() - began
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def rows_of(mails: list[dict[str, str]], salt: str, count: int) -> list[dict[str, object]]:
    texts = (mail["text"][:CHARACTERS] for mail in cycle(mails))
    return [{"n": n, "text": f"{salt} {n}\n{text}"} for n, text in enumerate(islice(texts, count))]


def in_one_process(rows: list[dict[str, object]], folder: Path, limits: Limits) -> None:
    prompts = (f"Spam? {row['text']}" for row in rows)
    with (
        SegmindClient(limits=limits) as client,
        client.run_job(prompts, journal=folder / "one.journal") as run,
    ):
        for outcome in run:
            assert outcome.status == "ok"


def on_ray(rows: list[dict[str, object]], folder: Path, limits: Limits, blocks: int) -> Counter[int]:
    """Return how often each row came back with its answer."""
    job = ShardJob(folder, prompt="Spam? {text}", limits=Limits(limits.max_in_flight))
    dataset = ray.data.from_items(rows, override_num_blocks=blocks)
    found: Counter[int] = Counter()
    answered = run_dataset(dataset, job, gateway=GatewaySettings(limits), concurrency=2)
    for batch in answered.iter_batches(batch_format="pyarrow"):
        for row in batch.select(["n", "result_status"]).to_pylist():
            assert row["result_status"] == "ok", row
            found[row["n"]] += 1
    return found


class Killer:
    """Kills a worker, a node or the gateway, one after the other, until it is told to end."""

    def __init__(self, cluster: Cluster, every: float) -> None:
        self.cluster, self.every = cluster, every
        self.killed: Counter[str] = Counter()
        self._over = threading.Event()
        self._chance = random.Random(1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for what in cycle(("worker", "gateway", "node")):
            if self._over.wait(self.every):
                return
            if what == "node":
                self._exchange_node()
            elif not _kill("ray::GatewayHost" if what == "gateway" else "ray::MapWorker", self._chance):
                continue
            self.killed[what] += 1

    def _exchange_node(self) -> None:
        """Kill one and start another; Ray gives a node 30 s to start, which a busy machine may not keep."""
        for node in self._chance.sample(sorted(self.cluster.worker_nodes, key=str), 1):
            self.cluster.remove_node(node, allow_graceful=False)
        while not self._over.is_set():
            with suppress(Exception):  # Ray raises nothing narrower
                self.cluster.add_node(**NODE)
                return


def _kill(title: str, chance: random.Random) -> bool:
    found = [one for one in psutil.Process().children(recursive=True) if title in " ".join(one.cmdline())]
    if found:
        chance.choice(found).kill()
    return bool(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=100_000, help="with kills; a fifth for each of the others"
    )
    parser.add_argument("--rpm", type=int, default=6000)
    parser.add_argument("--kill-every", type=float, default=60.0)
    asked = parser.parse_args()
    module, limits = example(), Limits(64, asked.rpm)
    with tempfile.TemporaryDirectory() as name:
        mails = list(module.mails(module.fetch(Path(name))))
        print(f"{len(mails)} mails", flush=True)
        emulated = Emulator(latency=0.2, balance=10**6, key=KEY, requests_per_minute=asked.rpm)
        with serving(emulated) as emulator:
            os.environ.update(SEGMIND_API_KEY=KEY, SEGMIND_BASE_URL=emulator.url, RAY_AUTH_MODE="disabled")
            few = asked.rows // 5
            with watched(emulator, few) as alone:
                in_one_process(rows_of(mails, "one", few), Path(name), limits)
            print(f"one process: {few} rows, {alone.rate:.1f} a second", flush=True)
            run_on_cluster(mails, emulator, Path(name), asked, alone)


def run_on_cluster(
    mails: list[dict[str, str]], emulator: Emulator, folder: Path, asked: Any, alone: Middle
) -> None:
    limits, few = Limits(64, asked.rpm), asked.rows // 5
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={**NODE, "num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**NODE)
    try:
        with watched(emulator, few) as together:
            found = on_ray(rows_of(mails, "ray", few), folder / "calm", limits, max(4, few // 1000))
        assert found == Counter(range(few))
        print(
            f"Ray: {few} rows, {together.rate:.1f} a second, {together.rate / alone.rate:.3f} of it",
            flush=True,
        )
        before, spent = emulator.requests, emulator.state.account.spent
        killer = Killer(cluster, asked.kill_every)
        try:
            with watched(emulator, asked.rows) as disturbed:
                rows = rows_of(mails, "kills", asked.rows)
                found = on_ray(rows, folder / "kills", limits, max(4, asked.rows // 1000))
        finally:
            killer.end()
        assert found == Counter(range(asked.rows))
        totals = read_folder(folder / "kills")
        print(
            f"Ray with kills {dict(killer.killed)}: {asked.rows} rows, each once, {disturbed.rate:.1f} a second; "
            f"{emulator.requests - before - asked.rows} requests more than rows; credits: service "
            f"{emulator.state.account.spent - spent}, journals {totals.spent}; "
            f"{totals.in_doubt} attempts in doubt"
        )
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
