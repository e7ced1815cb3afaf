"""Jobs on a cluster of Ray whose nodes, drivers and gateways are killed: `make engine`, in an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from segmind_async import ConfigurationError, Limits  # noqa: E402
from segmind_async._jobs.report.shards import read_shards  # noqa: E402
from segmind_async.emulator import Emulator  # noqa: E402
from segmind_async.engines import ShardJob, read_folder  # noqa: E402
from segmind_async.ray import GatewaySettings, SegmindMapper, run_dataset  # noqa: E402
from tests.guides import GUIDES, run_steps, steps_of  # noqa: E402
from tests.support import KEY, serving  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
"""Of Ray's own code."""

IN_FLIGHT = 4
"""Of each actor."""

ROWS = 240


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serving(Emulator(latency=0.1, balance=10_000, key=KEY)) as running:
        # Nodes hand it on to their workers.
        os.environ.update(SEGMIND_API_KEY=KEY, SEGMIND_BASE_URL=running.url, RAY_AUTH_MODE="disabled")
        yield running


@pytest.fixture(scope="module")
def cluster(emulator: Emulator) -> Iterator[Cluster]:
    size = {"object_store_memory": 100 * 1024 * 1024}
    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1, **size})
    cluster.add_node(num_cpus=1, **size)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def job(folder: Path, **more: Any) -> ShardJob:
    return ShardJob(folder / "journal", prompt="Classify: {text}", limits=Limits(IN_FLIGHT), **more)


def dataset(word: str, rows: int = ROWS, blocks: int = 6) -> Any:
    return ray.data.from_items(
        [{"text": f"{word} {n}", "n": n} for n in range(rows)], override_num_blocks=blocks
    )


def taken(of: Any) -> list[dict[str, Any]]:
    return sorted(of.take_all(), key=lambda row: row["n"])


def check(rows: list[dict[str, Any]], word: str) -> None:
    assert [row["n"] for row in rows] == list(range(ROWS))
    assert [row["result_text"] for row in rows] == [f"echo: Classify: {word} {n}" for n in range(ROWS)]


class Later:
    """Does something when the service has been asked so often."""

    def __init__(self, emulator: Emulator, calls: int, action: Callable[[], object]) -> None:
        self.done = False
        self._thread = threading.Thread(target=self._run, args=(emulator, emulator.requests + calls, action))
        self._thread.start()

    def _run(self, emulator: Emulator, calls: int, action: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while emulator.requests < calls and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        action()
        self.done = True

    def join(self) -> None:
        self._thread.join()
        assert self.done


def processes(title: str) -> list[psutil.Process]:
    """Return the processes of Ray with this title, of those below this one; nodes that died have none."""
    return [one for one in psutil.Process().children(recursive=True) if title in " ".join(one.cmdline())]


def kill(title: str) -> None:
    """Kill the newest process of Ray with this title."""
    max(processes(title), key=lambda one: one.create_time()).send_signal(signal.SIGKILL)


@pytest.mark.parametrize("batch_format", ["default", "pandas", "pyarrow"])
def test_batches_come_back_with_their_answers(
    cluster: Cluster, emulator: Emulator, tmp_path: Path, batch_format: str
) -> None:
    before = emulator.requests
    mapped = dataset(batch_format, 20, 2).map_batches(
        SegmindMapper,
        fn_constructor_args=[job(tmp_path)],
        batch_format=batch_format,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    rows = taken(mapped)
    assert [row["result_text"] for row in rows] == [f"echo: Classify: {batch_format} {n}" for n in range(20)]
    assert {type(row["result_cost"]) for row in rows} == {Decimal}
    assert emulator.requests == before + 20


def test_a_dead_node_loses_nothing_and_pays_twice_only_what_it_had_in_flight(
    cluster: Cluster, emulator: Emulator, tmp_path: Path
) -> None:
    doomed = cluster.add_node(num_cpus=2, object_store_memory=100 * 1024 * 1024)
    before = emulator.requests
    workers: list[psutil.Process] = []

    def end() -> None:
        workers.extend(processes("MapWorker(MapBatches(SegmindMapper))"))
        cluster.remove_node(doomed, allow_graceful=False)

    later = Later(emulator, 80, end)
    rows = taken(run_dataset(dataset("node"), job(tmp_path), concurrency=3))
    later.join()
    check(rows, "node")
    # Ray ends the workers of a node that has died, which would go on sending.
    assert len(workers) == 3
    assert len(psutil.wait_procs(workers, timeout=30)[0]) >= 2
    # Of two actors, each with four batches that share its calls in flight.
    assert ROWS <= emulator.requests - before <= ROWS + 2 * IN_FLIGHT
    again = taken(run_dataset(dataset("node", blocks=4), job(tmp_path), concurrency=2))
    check(again, "node")
    assert emulator.requests - before <= ROWS + 2 * IN_FLIGHT
    found = read_shards(tmp_path / "journal")
    assert (found.counts["ok"], found.totals.spent) == (ROWS, read_folder(tmp_path / "journal").spent)


def test_a_gateway_that_is_killed_comes_back_and_its_callers_wait(
    cluster: Cluster, emulator: Emulator, tmp_path: Path
) -> None:
    before = emulator.requests
    settings = GatewaySettings(Limits(max_in_flight=6))
    later = Later(emulator, 80, lambda: kill("ray::GatewayHost"))
    rows = taken(run_dataset(dataset("gateway"), job(tmp_path), gateway=settings, concurrency=2))
    later.join()
    check(rows, "gateway")
    assert ROWS <= emulator.requests - before <= ROWS + 6
    with pytest.raises(ConfigurationError, match="runs with"):
        run_dataset(dataset("gateway"), job(tmp_path))


def test_a_bound_on_money_holds_for_all_actors_and_all_runs(
    cluster: Cluster, emulator: Emulator, tmp_path: Path
) -> None:
    settings = GatewaySettings(max_credits=Decimal("0.001"))
    work = job(tmp_path, yield_unsent=True)
    statuses = [
        Counter(
            row["result_status"]
            for row in taken(run_dataset(dataset("money"), work, gateway=settings, concurrency=2))
        )
        for _ in range(2)
    ]
    assert 0 < statuses[0]["ok"] <= statuses[1]["ok"] < ROWS
    assert read_folder(tmp_path / "journal").spent <= Decimal("0.001")


DRIVER = """
import sys
import ray
from tests.ray.cluster import dataset, job, run_dataset, Path
ray.init(address=sys.argv[1], log_to_driver=False)
rows = run_dataset(dataset("driver"), job(Path(sys.argv[2])), concurrency=2).take_all()
assert len(rows) == 240 and {row["result_status"] for row in rows} == {"ok"}, rows[:3]
"""


def test_a_driver_that_is_killed_and_started_again_goes_on(
    cluster: Cluster, emulator: Emulator, tmp_path: Path
) -> None:
    before = emulator.requests
    words = [sys.executable, "-c", DRIVER, cluster.address, str(tmp_path)]
    first = subprocess.Popen(words, stderr=subprocess.PIPE)
    later = Later(emulator, 60, first.kill)
    first.communicate()
    later.join()
    assert first.returncode == -signal.SIGKILL
    second = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    assert second.returncode == 0, second.stderr[-2000:]
    assert ROWS <= emulator.requests - before <= ROWS + 2 * IN_FLIGHT
    assert read_folder(tmp_path / "journal").attempts <= ROWS + 2 * IN_FLIGHT


def test_the_command_has_the_same_results_as_without_an_engine_though_a_node_dies(
    cluster: Cluster, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(12):
        rows = "".join(f"{n} {m}\n" for m in range(20))
        (tmp_path / "in" / f"{n:02}.csv").write_text("text\n" + rows)
    before = emulator.requests
    environment = {**os.environ, "SEGMIND_API_KEY": KEY, "SEGMIND_BASE_URL": emulator.url}

    def run(output: str, *more: str) -> subprocess.CompletedProcess[str]:
        start = [
            sys.executable,
            "-m",
            "segmind_async",
            "run",
            str(tmp_path / "in"),
            "-o",
            str(tmp_path / output),
        ]
        words = [*start, "--prompt", "say {text}", "--max-in-flight", str(IN_FLIGHT), *more]
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=240, check=False
        )

    doomed = cluster.add_node(num_cpus=2, object_store_memory=100 * 1024 * 1024)
    later = Later(emulator, 80, lambda: cluster.remove_node(doomed, allow_graceful=False))
    on_ray = run("ray", "--engine", "ray", "--address", cluster.address, "--concurrency", "3")
    later.join()
    assert on_ray.returncode == 0, on_ray.stderr
    assert "240 ok, 0 failed, 0 unsent" in on_ray.stderr
    assert 240 <= emulator.requests - before <= 240 + 2 * IN_FLIGHT
    assert run("plain").returncode == 0
    for n in range(12):
        texts = [
            [line.split(",")[:6] for line in (tmp_path / output / f"{n:02}.csv").read_text().splitlines()]
            for output in ("ray", "plain")
        ]
        assert texts[0] == texts[1]
    asked = emulator.requests
    again = run("ray", "--engine", "ray", "--address", cluster.address)
    assert again.returncode == 0, again.stderr
    assert "(240 by earlier runs)" in again.stderr
    assert emulator.requests == asked


def test_the_guide_has_the_same_results_from_a_file_a_folder_and_ray(
    emulator: Emulator, tmp_path: Path
) -> None:
    before = emulator.requests
    run_steps(steps_of((GUIDES / "from-one-file-to-a-cluster.md").read_text()), tmp_path, emulator)
    assert emulator.requests - before == 5 + 5 + 2 + 7
