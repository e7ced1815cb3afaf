"""Real mails, repeated and salted, through Ray: `.venv-engine/bin/python -m tests.ray.mails` after `make engine`.

First in one process, then on a cluster of this machine at the same rate. Needs npm, for the mails. It says how
fast the cluster was beside the one process; `tests.ray.kills` says what kills cost.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from segmind_async import Limits
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob
from segmind_async.ray import GatewaySettings, run_dataset
from segmind_async.sync import SegmindClient
from tests.jobs.mails import example
from tests.support import KEY, serving

NODE = {"num_cpus": 2, "object_store_memory": 200 * 1024 * 1024}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rpm", type=int, default=6000)
    asked = parser.parse_args()
    module, limits = example(), Limits(64, asked.rpm)
    with tempfile.TemporaryDirectory() as name:
        mails = list(module.mails(module.fetch(Path(name))))
        print(f"{len(mails)} mails", flush=True)
        emulated = Emulator(latency=0.2, balance=10**6, key=KEY, requests_per_minute=asked.rpm)
        with serving(emulated) as emulator:
            os.environ.update(SEGMIND_API_KEY=KEY, SEGMIND_BASE_URL=emulator.url, RAY_AUTH_MODE="disabled")
            with watched(emulator, asked.rows) as alone:
                in_one_process(rows_of(mails, "one", asked.rows), Path(name), limits)
            print(f"one process: {asked.rows} rows, {alone.rate:.1f} a second", flush=True)
            run_on_cluster(mails, emulator, Path(name), asked.rows, limits, alone)


def run_on_cluster(
    mails: list[dict[str, str]], emulator: Emulator, folder: Path, rows: int, limits: Limits, alone: Middle
) -> None:
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={**NODE, "num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**NODE)
    try:
        with watched(emulator, rows) as together:
            found = on_ray(rows_of(mails, "ray", rows), folder / "ray", limits, max(4, rows // 1000))
        assert found == Counter(range(rows))
        print(f"Ray: {rows} rows, {together.rate:.1f} a second, {together.rate / alone.rate:.3f} of it")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
