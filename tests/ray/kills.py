"""An hour of kills: `.venv-engine/bin/python -m tests.ray.kills` after `make engine`.

100 000 rows from real mails, each with a line of its own, go through Ray while workers, gateways, nodes and
drivers are killed at random. The account has money for a fifth of them, and is paid in to whenever the job has
stopped at its floor; then the same driver is started again. At the end every row must have its answer once, the
floor must have been kept whenever a driver ended, and the service may have charged no more calls than there are
rows and were in flight at the kills; how many more is compared with what the journals report. Needs npm, for the mails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.cluster_utils import Cluster

from segmind_async import Limits
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob, read_folder
from segmind_async.ray import GatewaySettings, run_dataset
from tests.jobs.mails import example
from tests.ray.mails import NODE, rows_of
from tests.support import KEY, serving

FLOOR = Decimal(1)
PARTS = 5
"""Times that the money runs out."""

SLOTS, ACTORS = 64, 2
BLOCK = 1000
"""Rows of a block, and so of a shard."""

COST = Decimal("0.0026")
"""Of a mail, about."""

KINDS = {"worker": 4, "gateway": 3, "node": 2, "driver": 1}
"""What is killed, and how often beside the others: after a driver much has to be started."""

OUT_OF_MONEY = 3
"""Exit status of a driver that left rows unsent."""


class Killer:
    """Kills something at random every so often; from the main thread, from which alone Ray starts nodes."""

    def __init__(self, cluster: Cluster, every: float, seed: int) -> None:
        self.cluster, self.every = cluster, every
        self.killed: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._next = time.monotonic() + every

    def run(self, driver: subprocess.Popen[bytes]) -> int:
        """Kill whatever it is until the driver has ended; return its exit status."""
        while driver.poll() is None:
            time.sleep(0.1)
            if time.monotonic() < self._next:
                continue
            [what] = self._chance.choices(list(KINDS), list(KINDS.values()))
            if what == "driver":
                driver.kill()
            if what == "driver" or self._kill(what):
                self.killed[what] += 1
                print(f"{time.strftime('%X')} killed a {what}", flush=True)
            self._next = time.monotonic() + self._chance.expovariate(1 / self.every)
        return driver.returncode

    def _kill(self, what: str) -> bool:
        if what == "node":
            return self._exchange_node()
        title = "ray::GatewayHost" if what == "gateway" else "ray::MapWorker"
        found = [one for one in psutil.Process().children(recursive=True) if _has(one, title)]
        if found:
            self._chance.choice(found).kill()
        return bool(found)

    def _exchange_node(self) -> bool:
        """Kill one and start another; Ray gives a node 30 s to start, which a busy machine may not keep."""
        for node in self._chance.sample(sorted(self.cluster.worker_nodes, key=str), 1):
            self.cluster.remove_node(node, allow_graceful=False)
        for _ in range(3):
            with suppress(TimeoutError):
                self.cluster.add_node(**NODE)
                break
        return True


def _has(process: psutil.Process, title: str) -> bool:
    with suppress(psutil.Error):
        return title in " ".join(process.cmdline())
    return False


def drive(address: str, folder: Path, rpm: int) -> int:
    """Run the job once, as its user would; return the exit status."""
    ray.init(address=address, log_to_driver=False)
    job = ShardJob(folder / "journal", prompt="Spam? {text}", limits=Limits(SLOTS), yield_unsent=True)
    # Of one file Ray would make one block, and one actor would do it all.
    dataset = ray.data.read_parquet(str(folder / "rows.parquet"), override_num_blocks=4 * ACTORS)
    settings = GatewaySettings(Limits(SLOTS, rpm, FLOOR))
    found: Counter[int] = Counter()
    statuses: Counter[str] = Counter()
    answered = run_dataset(dataset, job, gateway=settings, concurrency=ACTORS, batch_size=BLOCK)
    for batch in answered.iter_batches(batch_format="pyarrow"):
        for row in batch.select(["n", "result_status"]).to_pylist():
            statuses[row["result_status"]] += 1
            found[row["n"]] += 1
    print(dict(statuses), flush=True)
    (folder / "found.json").write_text(json.dumps({"statuses": statuses, "most": max(found.values())}))
    return OUT_OF_MONEY if statuses["unsent"] else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rpm", type=int, default=2000)
    parser.add_argument("--kill-every", type=float, default=45.0, help="seconds on average")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    module = example()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_of(list(module.mails(module.fetch(folder))), f"kills {asked.seed}", asked.rows)
        pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=BLOCK)
        del rows
        part = COST * asked.rows / PARTS
        emulated = Emulator(
            latency=0.2, balance=FLOOR + part, key=KEY, requests_per_minute=asked.rpm, keep_calls=False
        )
        with serving(emulated) as emulator:
            os.environ.update(SEGMIND_API_KEY=KEY, SEGMIND_BASE_URL=emulator.url, RAY_AUTH_MODE="disabled")
            cluster = Cluster(initialize_head=True, connect=False, head_node_args={**NODE, "num_cpus": 0})
            for _ in range(2):
                cluster.add_node(**NODE)
            killer = Killer(cluster, asked.kill_every, asked.seed)
            try:
                report(emulator, folder, killer, asked.rows, run(emulator, folder, killer, asked.rpm, part))
            finally:
                cluster.shutdown()


def run(emulator: Emulator, folder: Path, killer: Killer, rpm: int, part: Decimal) -> list[Decimal]:
    """Start the driver until it has all rows; return what stood above the floor each time one ended."""
    left: list[Decimal] = []
    words = [
        sys.executable,
        "-m",
        "tests.ray.kills",
        "--drive",
        killer.cluster.address,
        str(folder),
        str(rpm),
    ]
    while True:
        kills = killer.killed.total()
        with (folder / "driver.log").open("ab") as log:
            status = killer.run(subprocess.Popen(words, stderr=log))
        account = emulator.state.account
        print(f"{time.strftime('%X')} driver ended with {status}, balance {account.balance}", flush=True)
        left.append(account.balance - FLOOR)
        if status == 0:
            return left
        if status == OUT_OF_MONEY:
            emulator.state.top_up(part)
        elif killer.killed.total() == kills:
            # Else it was killed, or Ray ended it: actors of Ray's own are not started again.
            raise RuntimeError(f"the driver failed: {(folder / 'driver.log').read_text()[-3000:]}")


def report(emulator: Emulator, folder: Path, killer: Killer, rows: int, left: list[Decimal]) -> None:
    found = json.loads((folder / "found.json").read_text())
    totals, spent = read_folder(folder / "journal"), emulator.state.account.spent
    twice = (spent - totals.spent) / (totals.spent / rows)
    print(
        f"killed {dict(killer.killed)}; {rows} rows: {found}; credits: service {spent}, journals "
        f"{totals.spent}, which are {twice:.0f} calls more; reported: {totals.in_doubt} attempts in doubt and "
        f"{totals.cut_off} cut off; above the floor when a driver ended: {[str(one) for one in left]}"
    )
    assert found == {"statuses": {"ok": rows}, "most": 1}, found
    assert min(left) >= 0, left
    assert 0 <= twice <= SLOTS * killer.killed.total(), twice


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        sys.exit(drive(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
    main()
