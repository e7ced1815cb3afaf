"""How the command starts: what it imports, which loop it runs on, and whose garbage collector it sets."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
import typer

from segmind_async.cli import exit_codes
from segmind_async.cli.exit_codes import Exit

_HELP = """
import sys
sys.argv = ["segmind-async", "--help"]
from segmind_async.__main__ import main
try:
    main()
except SystemExit:
    print(sorted(name for name in %r if name in sys.modules))
"""

_COLLECTOR = """
import gc, sys
before, frozen = gc.get_threshold(), gc.get_freeze_count()  # some interpreters freeze what is theirs
sys.argv = ["segmind-async", "--version"]
import segmind_async, segmind_async.cli
assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)
try:
    segmind_async.__main__.main()
except SystemExit:
    print(gc.get_threshold()[0] > before[0], gc.get_freeze_count() - frozen > 1000)
"""


def python(code: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1]


@pytest.mark.slow
def test_help_brings_neither_the_emulator_nor_what_reads_settings() -> None:
    assert python(_HELP % (["segmind_async.emulator", "pydantic_settings", "aiohttp.web", "uvloop"],)) == "[]"


@pytest.mark.slow
def test_the_collector_is_set_by_who_owns_the_process_and_not_by_an_import() -> None:
    assert (
        python(_COLLECTOR.replace("import segmind_async, ", "import segmind_async.__main__, ")) == "True True"
    )


@pytest.mark.parametrize("there", [False, True], ids=["without-uvloop", "with-uvloop"])
def test_a_command_runs_on_uvloop_if_it_is_there(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if there:
        pytest.importorskip("uvloop")
    else:
        monkeypatch.setattr(exit_codes, "find_spec", lambda _name: None)
    loops: list[str] = []

    async def main() -> Exit:
        loops.append(type(asyncio.get_running_loop()).__module__)
        return Exit.OK

    with pytest.raises(typer.Exit):
        exit_codes.run_to_exit(main)
    assert loops[0].startswith("uvloop") == there
