"""Real clients against the gateway over the emulator, each in an environment of its own: `make interop`.

`python -m interop [NAME …]` prints a table. Nothing of it runs in CI: it installs a gigabyte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
WITHIN = 300
"""Seconds for a client."""

CLIENTS = {
    "openai": ("openai",),
    "langchain": ("langchain-openai",),
    "llama_index": ("llama-index-llms-openai-like",),
    "pydantic_ai": ("pydantic-ai-slim[openai]",),
    "instructor": ("instructor",),
    "dspy": ("dspy",),
    "litellm": ("litellm",),
    "openai_agents": ("openai-agents",),
    "inspect_ai": ("inspect-ai", "openai"),
    "llm": ("llm",),
}
"""Scripts in `clients/`, and the packages each needs; the version of the first is shown."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m interop", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLIENTS)}; default: all")
    parser.add_argument("--environments", type=Path, default=HERE / ".environments")
    options = parser.parse_args()
    if unknown := {*options.names} - {*CLIENTS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = 0
    print("| client | version | seen to work |\n|---|---|---|")
    for name in options.names or CLIENTS:
        python = environment(options.environments / name, CLIENTS[name])
        with gateway() as url:
            why = tried(python, HERE / "clients" / f"{name}.py", url)
        failed += why is not None
        print(f"| {CLIENTS[name][0]} | {version(python, CLIENTS[name][0])} | {why or 'yes'} |", flush=True)
    return 1 if failed else 0


def environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with these packages, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run(["uv", "pip", "install", "-q", "--python", python, *packages], check=True)
    return python


@contextmanager
def gateway() -> Iterator[str]:
    """Serve the gateway over the emulator."""
    command = [sys.executable, "-m", "segmind_async", "serve", "--emulate", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[1]
        finally:
            process.kill()


def tried(python: Path, script: Path, url: str) -> str | None:
    """Run a script; return the last line of its error, None if it ended well."""
    variables = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_API_KEY": "unused"}
    try:
        # Isolated: a script has the name of what it tries.
        got = subprocess.run(
            [python, "-I", script], env=variables, capture_output=True, text=True, timeout=WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end within {WITHIN} s"
    return None if got.returncode == 0 else (got.stderr.strip().splitlines() or ["no reason given"])[-1][:200]


def version(python: Path, package: str) -> str:
    name = package.partition("[")[0]
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
