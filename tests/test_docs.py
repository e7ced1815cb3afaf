"""What the README and the examples show is true: their code runs, their tables are those of the code."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import io
import re
import tarfile
import textwrap
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import segmind_async as sa
from segmind_async import errors
from segmind_async.emulator import Emulator

from .pictures import drawn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def point_at(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", emulator.key)
    monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[-1].strip() for block in BLOCKS])
async def test_the_code_of_the_readme_runs(
    block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(drawn("JPEG"))
    monkeypatch.chdir(tmp_path)
    async with Emulator(balance=50) as emulator:
        point_at(emulator, monkeypatch)
        code = compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        shown = io.StringIO()
        with redirect_stdout(shown):
            result = eval(code, {"__name__": "readme"})
            if inspect.isawaitable(result):
                await result
    assert "echo" in shown.getvalue() or shown.getvalue() == "3\n"
    assert "failed" not in shown.getvalue().replace("failed=0", "")


@pytest.mark.parametrize("kind", [sa.Limits, sa.Timeouts, sa.RetryPolicy])
def test_the_table_of_settings_is_complete_and_its_defaults_are_right(kind: Any) -> None:
    listed = dict(re.findall(rf"\| `{kind.__name__}\.(\w+)` \| (\S+) \|", README))
    assert listed == {field.name: str(field.default) for field in fields(kind)}


def test_the_error_tree_is_the_codes_own() -> None:
    assert errors.__doc__ is not None
    tree = errors.__doc__[errors.__doc__.index("    SegmindError") :].split("\n\n")[0]
    assert textwrap.dedent(tree) in README


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
    if path.stem not in {"spam_assassin", "real_model"}:
        assert len(text.splitlines()) <= 40


async def test_chat(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async with Emulator() as emulator:
        point_at(emulator, monkeypatch)
        await example("chat").main()
    assert capsys.readouterr().out.startswith("echo: Tell me a joke on dogs.\n")


async def test_web_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator() as emulator:
        point_at(emulator, monkeypatch)
        async with TestClient(TestServer(example("web_service").make_app())) as caller:
            response = await caller.post("/summaries", json=["one", "two"])
            told = await response.json()
    assert told == [
        {"text": f"echo: Summarise in one sentence: {text}", "error": None} for text in ("one", "two")
    ]


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
