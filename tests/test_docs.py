"""The code of README, docs and examples runs, their links lead somewhere, their tables are those of the code."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import io
import json
import logging
import re
import runpy
import tarfile
import textwrap
import tomllib
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import anyio
import pytest
from aiohttp.test_utils import TestClient, TestServer

import segmind_async as sa
from segmind_async import errors
from segmind_async.cli.exit_codes import Exit
from segmind_async.emulator import Calls, Emulator, FunctionBrain, Question, faults
from segmind_async.testing import RecordingHooks
from tests.pictures import drawn
from tests.support import serving

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [
    ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
]
PROGRAMS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in [ROOT / "README.md", *PAGES]
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S))
]


def point_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", emulator.key)
    monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_of_the_pages_run(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pasted into a file, in real time, with the emulator in another thread: each has a loop of its own."""
    (tmp_path / "photo.jpg").write_bytes(drawn("JPEG"))
    (tmp_path / "contract.pdf").write_bytes(b"%PDF-1.7 %%EOF")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "basicConfig", lambda: None)
    shown = io.StringIO()
    with serving(Emulator(balance=50)) as emulator, redirect_stdout(shown):
        point_at(emulator, monkeypatch)
        try:
            runpy.run_path("program.py", run_name="__main__")
        finally:
            logging.getLogger("segmind_async").setLevel(logging.NOTSET)
    printed = shown.getvalue()
    assert "echo" in printed or "ham" in printed or '"urgency"' in printed
    for sign_of_failure in ("gave up", "503: try again", "failed"):
        assert sign_of_failure not in printed.replace("failed=0", "")


@pytest.mark.parametrize("page", [*TEXTS, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        target = (page.parent / link).resolve()
        assert target.exists(), link
        # The site holds what lies in docs/, and nothing else.
        assert page in TEXTS or target.is_relative_to(ROOT / "docs"), link


def test_every_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def paths(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        return [
            path for each in (entry.values() if isinstance(entry, dict) else entry) for path in paths(each)
        ]

    assert sorted(paths(config["project"]["nav"])) == sorted(
        str(page.relative_to(ROOT / "docs")) for page in PAGES
    )


def test_the_reference_names_all_that_is_public() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"^::: segmind_async\.(\w+)$", page.read_text(encoding="utf-8"), re.M)
    }
    assert named == set(sa.__all__) - {"__version__"}


def test_the_files_that_the_architecture_names_exist() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b_?[a-z]+/[a-z_]+\.py\b", page))
    assert len(named) >= 10
    assert not [
        name for name in named if not (ROOT / "segmind_async" / name).exists() and not (ROOT / name).exists()
    ]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_exit_codes_of_the_reference_are_those_of_the_command() -> None:
    page = (ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)] == sorted(Exit)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ("call", sa.CallEnded),
        ("attempt", sa.AttemptEnded),
        ("retry", sa.RetryPlanned),
        ("balance", sa.BalanceSeen),
    ],
)
def test_the_table_of_log_records_is_that_of_the_events(message: str, event: Any) -> None:
    page = (ROOT / "docs" / "guides" / "logging.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| `{message}` \| [A-Z]+ \| (.*) \|$", page, re.M)
    assert set(re.findall(r"`(\w+)`", row)) == {field.name for field in fields(event) if field.repr}


@pytest.mark.parametrize("kind", [sa.Limits, sa.Timeouts, sa.RetryPolicy])
def test_the_table_of_settings_is_complete_and_its_defaults_are_right(kind: Any) -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    listed = dict(re.findall(rf"\| `{kind.__name__}\.(\w+)` \| (\S+) \|", page))
    assert listed == {field.name: str(field.default) for field in fields(kind)}


def test_the_error_tree_is_the_codes_own() -> None:
    assert errors.__doc__ is not None
    tree = errors.__doc__[errors.__doc__.index("    SegmindError") :].split("\n\n")[0]
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert textwrap.dedent(tree) in page
    assert set(re.findall(r"── (\w+)", tree)) <= set(re.findall(r"^::: segmind_async\.(\w+)$", page, re.M))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    if path.stem not in {"spam_assassin", "summarise_code", "real_model"}:
        assert len(text.splitlines()) <= 48


async def test_chat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator() as emulator:
        point_at(emulator, monkeypatch)
        await example("chat").main()
    assert capsys.readouterr().out.startswith("echo: Tell me a joke about dogs.\n")


async def test_web_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator() as emulator:
        point_at(emulator, monkeypatch)
        async with TestClient(TestServer(example("web_service").make_app())) as caller:
            response = await caller.post("/summaries", json=["one", "two"])
            told = await response.json()
    assert told == [
        {"text": f"echo: Summarise in one sentence: {text}", "error": None} for text in ("one", "two")
    ]


async def test_web_service_ends_a_call_whose_caller_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator(latency=100) as emulator:
        point_at(emulator, monkeypatch)
        service = example("web_service")
        app = service.make_app()
        async with TestClient(TestServer(app)) as caller:
            with anyio.move_on_after(20):
                await caller.post("/summaries", json=["one", "two", "three"])
            await anyio.sleep(1)
            statistics = app[service.CLIENT].statistics()
            assert (statistics.in_flight, statistics.waiting) == (0, 0)
        assert 0 < emulator.requests <= 3


class AsgiCaller:
    """Calls an ASGI application as a server would, and may hang up."""

    def __init__(self, app: Any, body: bytes) -> None:
        self._app, self._body = app, body
        self.hung_up = anyio.Event()
        self.status: int | None = None
        self.answer = b""

    async def call(self) -> None:
        headers = [(b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/answers",
            "headers": headers,
            "query_string": b"",
        }
        await self._app({**scope, "http_version": "1.1", "state": {}}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            body, self._body = self._body, b""
            return {"type": "http.request", "body": body, "more_body": False}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.answer += message.get("body", b"")


async def test_fastapi_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator(latency=10) as emulator:
        point_at(emulator, monkeypatch)
        service = example("fastapi_service")
        async with service.lifespan(service.app):
            caller = AsgiCaller(service.app, b'{"question": "hello"}')
            await caller.call()
            assert (caller.status, caller.answer) == (200, b'{"text":"echo: hello"}')
            emulator.script(faults.status(400, "not like this"))
            caller = AsgiCaller(service.app, b'{"question": "hello"}')
            await caller.call()
            assert (caller.status, b"not like this" in caller.answer) == (502, True)
        assert service.app.state.client.closed


async def test_fastapi_service_ends_a_call_whose_caller_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator(latency=1000) as emulator:
        point_at(emulator, monkeypatch)
        service = example("fastapi_service")
        async with service.lifespan(service.app), anyio.create_task_group() as tasks:
            caller = AsgiCaller(service.app, b'{"question": "hello"}')
            began = anyio.current_time()
            tasks.start_soon(caller.call)
            await anyio.sleep(5)
            assert service.app.state.client.statistics().in_flight == 1
            caller.hung_up.set()
            await anyio.sleep(1)
            assert service.app.state.client.statistics().in_flight == 0
        assert anyio.current_time() - began < 100


def test_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Emulator()) as emulator:
        point_at(emulator, monkeypatch)
        example("script").main()
    shown = capsys.readouterr().out
    assert shown.startswith("echo: Tell me a joke about dogs.\n")
    assert "99 ok echo: What is 99 + 99?" in shown
    assert "credits left" in shown


async def test_logs_and_hooks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("segmind_async")
    before = logger.handlers[:]
    try:
        async with Emulator() as emulator:
            point_at(emulator, monkeypatch)
            await example("logs_and_hooks").main()
            key = emulator.key
    finally:
        logger.handlers[:] = before
        logger.setLevel(logging.NOTSET)
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.err.splitlines()]
    assert {(line["event"], line["trace"]) for line in lines} == {
        (event, name) for event in ("attempt", "balance", "call") for name in ("an optimist", "a pessimist")
    }
    assert "Decimal" in told.out
    assert key not in told.err


def test_notebook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run its cells as a kernel does: within a loop, one after the other, in one namespace."""
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}

    async def run() -> None:
        for cell in cells:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                code = compile(
                    "".join(cell["source"]),
                    "cell",
                    "exec",
                    flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                    dont_inherit=True,
                )
                result = eval(code, names)
                if inspect.isawaitable(result):
                    await result

    with serving(Emulator(balance=5)) as emulator:
        point_at(emulator, monkeypatch)
        anyio.run(run)
    shown = capsys.readouterr().out
    assert shown.startswith("echo: Tell me a joke about dogs.")
    assert "echo: Tell me a joke on cats.\n['echo: a', 'echo: b']" in shown
    assert names["outcomes"].report.ok == 20


@pytest.mark.slow
def test_summarise_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Rehearsed on the emulator, over the code itself; in real time, since its tools run in threads."""
    module = example("summarise_code")
    anyio.run(module.main)
    shown = capsys.readouterr().out
    files = sorted(module.CODE.glob("*.py"))
    for path in files:
        first = path.read_text(encoding="utf-8").splitlines()[0].strip('"')
        assert f"{path.name}: {first}" in shown
    assert f"It has {len(files)} parts." in shown
    assert "credits on the emulator" in shown


def test_summarise_code_one_fails_and_the_rest_is_merged(capsys: pytest.CaptureFixture[str]) -> None:
    module = example("summarise_code")
    hooks = RecordingHooks()

    def rehearse(question: Question) -> str | Calls:
        if "models.py" in question.prompt and question.tools:
            return Calls([("read_lines", {"first": 1, "last": 1})])  # never an answer: too many turns
        return cast("str | Calls", module.rehearse(question))

    async def run() -> str:
        async with Emulator(FunctionBrain(rehearse)) as emulator:
            async with sa.SegmindClient(emulator.key, emulator.url, hooks=[hooks]) as client:
                return cast("str", await module.summarise(client, module.CODE, 2.0, 600))

    text = anyio.run(run)
    traces = Counter(event.trace for event in hooks.of(sa.AttemptEnded))
    shown = capsys.readouterr().out
    assert "models.py failed: the agent ended after 6 turns" in shown
    assert "models.py: None" in shown
    assert text == f"It has {len(list(module.CODE.glob('*.py'))) - 1} parts."
    assert (traces["plan"], traces["config"], traces["models"], traces["merge"]) == (2, 2, 6, 1)


@pytest.mark.slow
def test_summarise_code_ends_the_whole_tree_in_one_place() -> None:
    module = example("summarise_code")

    async def run() -> tuple[str, int]:
        async with Emulator(FunctionBrain(module.rehearse), latency=0.3) as emulator:
            async with sa.SegmindClient(emulator.key, emulator.url) as client:
                text = await module.summarise(client, module.CODE, 2.0, 0.4)
                return cast("str", text), client.statistics().in_flight

    assert anyio.run(run) == ("It has 0 parts.", 0)


async def test_subagents(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator() as emulator:
        point_at(emulator, monkeypatch)
        await example("subagents").main()
        assert emulator.requests == 6
        shown = capsys.readouterr().out
        assert all(
            f"{role}: echo: Make this shorter" in shown
            for role in ("an optimist", "a pessimist", "an accountant")
        )
        await example("subagents").main(max_credits=0.0001)
        assert "the budget is used up" in capsys.readouterr().out


def test_with_emulator() -> None:
    example("test_with_emulator").test_translate_survives_a_lost_answer()


@pytest.mark.slow
def test_job(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    example("job").main(tmp_path)
    shown, said = capfd.readouterr()
    assert shown.count("$ segmind-async classify") == 3
    assert "200 ok, 0 failed, 0 unsent (10 by earlier runs)" in said
    assert "billing" in shown.split("$ segmind-async report")[1]
    with (tmp_path / "labels.csv").open() as file:
        assert sum(1 for _ in file) == 201


@pytest.mark.slow
def test_spam_assassin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but the download: mails as dirty as the real ones."""
    archive = tmp_path / "mails.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for n in range(40):
            spam = n % 4 < 2
            body = (
                b"Subject: cheap \xe9 pills\0\r\n" if spam else b"Subject: lunch\r\n\r\nat noon "
            ) + b"%d" % n
            member = tarfile.TarInfo(f"package/data/{'spam-1' if spam else 'easy-ham-1'}/{n:05}.txt")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
        tar.addfile(tarfile.TarInfo("package/README.txt"))
    module = example("spam_assassin")
    monkeypatch.setattr(module, "fetch", lambda _folder: archive)
    assert module.main(limit=30) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("30 mails")
    assert "rows {'ok': 30}, errors {}, accuracy 100.0%" in shown


def test_the_commands_of_the_readme_are_marked() -> None:
    for mark in ("demo", "test"):
        assert re.search(rf"<!-- {mark} command -->\n```bash\n.+\n```", README)
    assert "<!-- test command -->" in README
    assert "test command" in (ROOT / ".ci" / "run").read_text()
