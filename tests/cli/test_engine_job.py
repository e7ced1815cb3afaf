"""`run --engine ray` with an engine that runs each task at once, in this process: Ray's own is in `make engine`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

import segmind_async as sa
from segmind_async.cli import engine_job
from segmind_async.emulator import Emulator, faults
from segmind_async.ray import GatewayAddress, GatewaySettings
from tests.cli.test_commands import call, lines, on
from tests.cli.test_folders import folder, said, table, words
from tests.support import serving

__all__ = ["folder"]


class RayError(Exception):
    """As Ray's own: of the cluster, or with the cause of a task."""

    def __init__(self, cause: object = None) -> None:
        super().__init__("\x1b[36mthe worker\n died")
        self.cause = cause


class Ray(ModuleType):
    """As much of Ray as the command uses."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.address: str | None = None
        self.cancelled: list[Any] = []
        self.exceptions = SimpleNamespace(RayError=RayError)
        self.failing: dict[str, Exception] = {}

    def is_initialized(self) -> bool:
        return False

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]

    def init(self, address: str | None, **_: Any) -> None:
        self._fail("init")
        self.address = address

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, function: Any) -> Any:
        class Task:
            def options(self, **_: Any) -> Task:
                return self

            def remote(self, *given: Any) -> Any:
                with chdir("/"):  # a worker's own
                    return function(*given)

        return Task()

    def get(self, found: Any) -> Any:
        self._fail("count" if isinstance(found[0], int) else "get")
        return found

    def wait(self, running: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return running[:1], running[1:]

    def cancel(self, task: Any) -> None:
        self._fail("cancel")
        self.cancelled.append(task)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    engine = Ray()
    monkeypatch.setitem(sys.modules, "ray", engine)
    return engine


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with serving(Emulator()) as running:
        # In place of the gateway, which an actor would hold.
        door = GatewayAddress(running.url, running.key)
        monkeypatch.setattr(engine_job, "start_gateway", lambda *_: door)
        yield running


def results(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of all files of results, without what differs between two runs."""
    return {
        path.relative_to(folder).as_posix(): [
            {name: value for name, value in row.items() if name not in {"elapsed", "cost"}}
            for row in (lines(path) if path.suffix == ".jsonl" else table(path, ",\t"[path.suffix == ".tsv"]))
        ]
        for path in sorted(folder.rglob("*.*"))
    }


def test_results_are_those_of_the_folder_without_an_engine(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "b.jsonl").write_text("no JSON\n\n" + json.dumps({"text": "late"}) + "\n")
    assert call(*words(folder, name="plain"), **on(emulator)).exit_code == 1
    got = call(*words(folder, "--engine", "ray", "--address", "auto"), **on(emulator))
    assert (got.exit_code, emulator.requests) == (1, 20), got.stderr
    assert ray.address == "auto"
    assert "10 ok, 1 failed, 0 unsent" in got.stderr
    assert results(tmp_path / "out") == results(tmp_path / "plain")
    # Renamed and added to: only what is new is asked, and nothing of others is overwritten.
    (folder / "a.csv").rename(folder / "y.csv")
    (folder / "z.csv").write_text("text\nnew\n")
    got = call(*words(folder, "--engine", "ray"), **on(emulator))
    assert emulator.requests == 21
    assert "11 ok, 1 failed, 0 unsent (10 by earlier runs)" in got.stderr
    assert "12" not in said(got).replace(str(tmp_path), "").split("rows")[0]
    assert (
        f"1 files of results have no input any more and stay, such as {tmp_path / 'out' / 'a.csv'}"
        in said(got)
    )
    (tmp_path / "out" / "z.csv").unlink()
    got = call(*words(folder, "--engine", "ray", "--results-only"))
    assert (got.exit_code, emulator.requests) == (0, 21), got.stderr
    assert [row["status"] for row in table(tmp_path / "out" / "z.csv")] == ["ok"]
    report = call("report", str(tmp_path / "out"), "--json")
    assert json.loads(report.stdout)["counts"] == {"ok": 11, "failed": 0}
    (folder / "mine.csv").write_text("text\nx\n")
    (tmp_path / "out" / "mine.csv").write_text("mine")
    got = call(*words(folder, "--engine", "ray"), **on(emulator))
    assert got.exit_code == 2
    assert "mine.csv' is there already" in said(got)


@pytest.mark.parametrize(
    ("failing", "code", "says"),
    [
        pytest.param(
            {"get": RayError(), "cancel": RayError()}, 6,
            "RayError: \\x1b[36mthe worker died; what was answered is in the journals", id="lost-worker",
        ),
        pytest.param({"count": RayError()}, 6, "the worker died", id="lost-while-counting"),
        pytest.param({"get": RayError(LookupError("odd"))}, 6, "LookupError: odd", id="error-of-a-task"),
        pytest.param(
            {"get": RayError(sa.ConfigurationError("bad"))}, 2, "ConfigurationError: bad", id="own-error"
        ),
        pytest.param({"get": RayError(OSError(28, "full"))}, 5, "full", id="disk"),
        pytest.param(
            {"init": ConnectionError("nobody\n there")}, 2,
            "address='auto': ConnectionError: nobody there", id="no-cluster",
        ),
    ],
)  # fmt: skip
def test_what_becomes_of_the_cluster_is_an_error_and_an_exit_code(
    ray: Ray, emulator: Emulator, folder: Path, failing: dict[str, Exception], code: int, says: str
) -> None:
    ray.failing = failing
    more = ("--engine", "ray", "--address", "auto", "--concurrency", "2")
    got = call(*words(folder, *more), **on(emulator))
    assert got.exit_code == code, got.stderr
    assert says in said(got)
    assert "Traceback" not in got.stderr
    ray.failing = {}
    assert call(*words(folder, *more), **on(emulator)).exit_code == 0
    assert emulator.requests == 9, "each row once over both runs"


@pytest.mark.parametrize("where", [".env", "file"])
def test_the_gateway_has_the_keys_that_the_command_would_have(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    got = call(*words(folder, "--engine", "ray"))
    assert (got.exit_code, ray.address) == (2, None)
    assert "no API key" in got.stderr
    given: list[GatewaySettings] = []

    def start(settings: GatewaySettings, _: Path) -> GatewayAddress:
        given.append(settings)
        return GatewayAddress(emulator.url, emulator.key)

    monkeypatch.setattr(engine_job, "start_gateway", start)
    more: list[str] = []
    if where == ".env":
        (tmp_path / ".env").write_text("SEGMIND_API_KEYS=SG_one,SG_two\nSEGMIND_BASE_URL=https://x.test/v1\n")
    else:
        (tmp_path / "keys").write_text("SG_one\nSG_two\n")
        (tmp_path / "keys").chmod(0o600)
        more = ["--api-keys-file", "keys"]
    got = call(*words(folder, "--engine", "ray", *more))
    assert got.exit_code == 0, got.stderr
    assert given[0].api_keys == ("SG_one", "SG_two")
    assert given[0].base_url == ("https://x.test/v1" if where == ".env" else None)


def test_after_a_shard_that_stops_the_others_send_nothing_and_write_what_there_is(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    emulator.script(*[faults.status(401)] * 60)
    got = call(*words(folder, "--engine", "ray", "--concurrency", "1", "--json"), **on(emulator))
    assert got.exit_code == 4, got.stderr
    assert emulator.requests <= 4
    told = json.loads(got.stdout)
    assert told["rows"]["unsent"] >= 5
    assert [row["status"] for row in table(tmp_path / "out" / "sub" / "b.tsv", "\t")] == ["unsent"] * 3


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sample", "2"], "--sample works without an engine only"),
        (["--emulate"], "--emulate works without an engine only"),
        (["--delivery", "queued"], "--delivery queued works without an engine only"),
        (["--results-only"], "there are no journals in"),
        (["--images-from", "."], "--images-from works without an engine only"),
        (["--journal", __file__], "is a file; name a folder for the journals"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(
    more: list[str], says: str, ray: Ray, emulator: Emulator, folder: Path
) -> None:
    got = call(*words(folder, "--engine", "ray", *more), **on(emulator))
    assert (got.exit_code, emulator.requests) == (2, 0)
    assert says in said(got)


def test_the_folder_of_journals_may_be_named_each_time(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    command = words(folder, "--engine", "ray", "--journal", str(tmp_path / "journals"))
    for _ in range(2):
        got = call(*command, **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 9), got.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param(["--prompt", "ask {text}"], "prompt='say {text}', and now prompt='ask {text}'", id="prompt"),
        pytest.param(["--model", "gpt-5"], "model='gpt-5.4-mini', and now model='gpt-5'", id="model"),
        pytest.param(["--system", "Be short"], "system=None, and now system='Be short'", id="system"),
        pytest.param(["--temperature", "0.5"], "and now parameters={'temperature': 0.5}", id="parameters"),
        pytest.param(["--max-tokens", "9"], "max_tokens=None, and now max_tokens=9", id="max-tokens"),
        pytest.param(["--schema", "tests.cli.test_engine_job:Kind"], "parse=None, and now parse=", id="schema"),
        pytest.param(
            ["--prompt", "ask {text}", "--results-only"], "and now prompt='ask {text}'", id="results-only"
        ),
    ],
)  # fmt: skip
def test_other_settings_than_those_of_paid_rows_are_refused(
    more: list[str], says: str, ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    command = words(folder, "--engine", "ray")
    assert call(*command, **on(emulator)).exit_code == 0
    before = results(tmp_path / "out")
    got = call(*command, *more, **on(emulator))
    assert (got.exit_code, emulator.requests) == (2, 9)
    assert "with 9 finished rows, are of a job with" in said(got)
    assert says in said(got)
    assert "Use the same again, or name another output with -o" in said(got)
    assert results(tmp_path / "out") == before
    got = call(*command, "--dedupe", "--yes", **on(emulator))
    assert (got.exit_code, emulator.requests) == (0, 9), got.stderr


class Kind(BaseModel):
    kind: str


def test_settings_may_change_while_nothing_is_paid(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    emulator.script(*[faults.status(400)] * 9)
    command = words(folder, "--engine", "ray")
    assert call(*command, **on(emulator)).exit_code == 1
    got = call(*command, "--prompt", "ask {text}", **on(emulator))
    assert got.exit_code == 0, got.stderr
    assert [row["result_text"] for row in table(tmp_path / "out" / "a.csv")][:1] == ["echo: ask a 0"]
    assert call(*command, **on(emulator)).exit_code == 2


def test_settings_that_are_damaged_are_named(
    ray: Ray, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    command = words(folder, "--engine", "ray")
    assert call(*command, **on(emulator)).exit_code == 0
    path = tmp_path / "out.journals" / "settings.json"
    for damaged in (b"", b"\xff", b"[]"):
        path.write_bytes(damaged)
        assert "are damaged; delete them if the command is the same" in said(call(*command, **on(emulator)))
    path.unlink()
    assert call(*command, **on(emulator)).exit_code == 0
    assert emulator.requests == 9


def test_a_single_file_is_no_job_for_an_engine(ray: Ray, emulator: Emulator, folder: Path) -> None:
    got = call("run", str(folder / "a.csv"), "-o", "x.csv", "--engine", "ray", **on(emulator))
    assert "is no folder; each file of a folder is one shard" in said(got)


def test_without_ray_it_says_how_to_get_it(
    emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    got = call(*words(folder, "--engine", "ray"), **on(emulator))
    assert got.exit_code == 2
    assert "pip install 'segmind-async[ray]'" in said(got)
