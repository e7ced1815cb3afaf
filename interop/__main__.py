"""Real clients against the gateway over the emulator, each in an environment of its own: `make interop`.

`python -m interop [NAME …]` prints a table; `--write PAGE` writes it into a page, between its two marks.
Nothing of it runs in CI: it installs a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
WITHIN = 300
"""Seconds for a client."""

MARKS = ("<!-- interop: written by `python -m interop --write` -->", "<!-- end of interop -->")


@dataclass(frozen=True)
class Client:
    """A client: its packages (the version of the first is shown), what its program tries, what it needs."""

    packages: tuple[str, ...]
    tried: str
    setting: str = ""
    npm: bool = False

    @property
    def package(self) -> str:
        return self.packages[0].partition("[")[0]


CLIENTS = {
    "openai": Client(
        ("openai",), "sync, async, stream, tools, `parse`, models, responses, files and batches"
    ),
    "langchain": Client(
        ("langchain-openai",), "`invoke`, `abatch`, `stream`, `bind_tools`, `with_structured_output`"
    ),
    "llama_index": Client(
        ("llama-index-llms-openai-like",),
        "`chat`, `stream_chat`",
        "`api_base`, `api_key` and `is_chat_model=True` as arguments",
    ),
    "pydantic_ai": Client(
        ("pydantic-ai-slim[openai]",), "chat and responses models: an answer, an output type, stream"
    ),
    "instructor": Client(("instructor",), "`TOOLS`, `JSON_SCHEMA`"),
    "dspy": Client(("dspy",), "an answer", '`dspy.LM("openai/SLUG")`'),
    "litellm": Client(("litellm",), "an answer, stream", "`openai/SLUG` as the model"),
    "openai_agents": Client(("openai-agents",), "an answer, by responses and by chat completions"),
    "inspect_ai": Client(
        ("inspect-ai", "openai"), "an answer", '`get_model("openai/SLUG", responses_api=False)`'
    ),
    "llm": Client(("llm",), "an answer, stream", "`api_base` of the model, as in `extra-openai-models.yaml`"),
    "npm_openai": Client(("openai",), "an answer, stream, tools, responses, files and batches", npm=True),
    "npm_ai": Client(
        ("ai", "@ai-sdk/openai", "zod"),
        "responses and chat models: an answer, stream, an object",
        "`createOpenAI({ baseURL })`",
        npm=True,
    ),
}
"""Programs in `clients/`, and in `refused/` one that makes a single call."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLIENTS)}; default: all")
    parser.add_argument("--environments", type=Path, default=HERE / ".environments")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="page whose table is written")
    options = parser.parse_args()
    if unknown := {*options.names} - {*CLIENTS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    lines = ["| client | version | tried | setting | 402 | 429: asks again |", "|---|---|---|---|---|---|"]
    failed = 0
    print("\n".join(lines), flush=True)
    for name in options.names or CLIENTS:
        why, line = row(name, options.environments.absolute() / name)
        failed += why is not None
        lines.append(line)
        print(line if why is None else f"{line} {why}", flush=True)
    if options.write is not None and not failed:
        write(options.write, lines)
    return 1 if failed else 0


def row(name: str, folder: Path) -> tuple[str | None, str]:
    """Return why a client fails, None if it does not, and its row of the table."""
    client = CLIENTS[name]
    environment(folder, client)
    with gateway() as url:
        why = tried(folder, "clients", name, url)
    cells = [
        f"{client.package} (npm)" if client.npm else client.package,
        version(folder, client),
        client.tried if why is None else "fails",
        client.setting,
        refused(folder, name, 402, 100),
        refused(folder, name, 429, 2),
    ]
    return why, "| " + " | ".join(cells) + " |"


def refused(folder: Path, name: str, status: int, refusals: int) -> str:
    """Return what a client does when its first calls are refused."""
    with served("interop.refusing", str(refusals), str(status)) as url:
        why = tried(folder, "refused", name, url)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/asked") as response:
            asked: list[float] = json.load(response)
    if status == 402:
        return "asks once" if len(asked) == 1 else f"asks {len(asked)} times"
    waits = " and ".join(f"{later - at:.1f} s" for at, later in pairwise(asked))
    return f"after {waits}" if why is None else f"gives up after {len(asked)}"


def environment(folder: Path, client: Client) -> None:
    """Make an environment with the packages of a client, if it is not there."""
    if client.npm:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", *client.packages]
        subprocess.run(command, cwd=folder, check=True)
        return
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", python, *client.packages], check=True)


@contextmanager
def gateway() -> Iterator[str]:
    """Serve the gateway over the emulator."""
    words = ("serve", "--emulate", "--port", "0", "--files")
    with tempfile.TemporaryDirectory() as files, served("segmind_async", *words, files) as url:
        yield url


@contextmanager
def served(module: str, *words: str) -> Iterator[str]:
    """Run a server; yield the URL that it tells first."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HERE.parent
    ) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http\S+", process.stdout.readline())
            assert found is not None
            yield found.group()
        finally:
            process.kill()


def tried(folder: Path, programs: str, name: str, url: str) -> str | None:
    """Run a program; return the last line of its error, None if it ended well."""
    variables = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_API_KEY": "unused"}
    try:
        got = subprocess.run(
            program(folder, HERE / programs, name),
            env=variables,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {WITHIN} s"
    return None if got.returncode == 0 else (got.stderr.strip().splitlines() or ["no reason given"])[-1][:200]


def program(folder: Path, programs: Path, name: str) -> list[str]:
    """Return the command that runs a program in the environment of its client."""
    if not CLIENTS[name].npm:
        # Isolated: a program has the name of what it tries.
        return [str(folder / "bin" / "python"), "-I", str(programs / f"{name}.py")]
    # Where its packages are: that is where node looks for them.
    copy = folder / f"{programs.name}.mjs"
    copy.write_text((programs / f"{name}.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    return ["node", str(copy)]


def version(folder: Path, client: Client) -> str:
    if client.npm:
        package = folder / "node_modules" / client.package / "package.json"
        return str(json.loads(package.read_text(encoding="utf-8"))["version"])
    code = f"import importlib.metadata as m; print(m.version({client.package!r}))"
    python = folder / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def write(page: Path, lines: list[str]) -> None:
    """Write the table into a page, between its marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    table = "\n".join([MARKS[0], "", *lines, "", MARKS[1]])
    page.write_text(before + table + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
