"""A process that has imported everything once, and forks a child for each run: what a crash suite can afford.

It reads one JSON object a line, `{"argv": […], "plan": [kind, nth] | null, "script": null | name}`, forks, and
answers with the child's process id; when the child has ended it says with which status.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any


def child(order: dict[str, Any]) -> None:
    """Run the command line, as its console script would."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with Path(order["said"]).open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        if order["plan"] is not None:
            kind, nth, times = order["plan"]
            ctypes.CDLL(None).plan(kind.encode(), nth, times)
        from segmind_async.cli import app

        try:
            app(order["argv"])
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)


def main() -> None:
    import segmind_async.cli  # noqa: F401  # once, for all children

    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if not process:
            try:
                child(order)
            finally:
                os._exit(99)
        print(process, flush=True)
        # Left a zombie until the other side knows: its number must not be somebody else's when it is killed.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        print("ended", flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


class Nursery:
    """The other side of it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._said = folder / "said"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.journal.nursery"],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @contextmanager
    def running(self, *argv: str, plan: tuple[str, int, int] | None = None) -> Iterator[int]:
        """Start the command; gives its process id, and waits for its end."""
        assert self._process.stdin is not None
        order = {"argv": argv, "plan": plan, "said": str(self._said)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        yield int(self._line())
        assert self._line() == "ended"
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.code = int(self._line())

    def run(self, *argv: str, plan: tuple[str, int, int] | None = None) -> tuple[int, str]:
        """Run the command to its end; gives its exit code and what it said."""
        with self.running(*argv, plan=plan):
            pass
        return self.code, self._said.read_text()

    def run_and_kill(self, *argv: str, after: float) -> bool:
        """Kill the command without warning after so many seconds; tells whether it was still running."""
        with self.running(*argv) as process:
            threading.Event().wait(after)  # the moment of a crash is nobody's to choose
            os.kill(process, signal.SIGKILL)
        return self.code == -signal.SIGKILL


if __name__ == "__main__":
    main()
