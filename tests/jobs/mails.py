"""6 046 real mails, killed half-way twice and resumed, beside an undisturbed run: `python -m tests.jobs.mails`.

Needs npm, for the mails; everything else is local. The two outputs must be the same but for the seconds that
calls took. It also counts what was asked twice, by the emulated service's own books.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import ModuleType

from segmind_async._jobs.journal.reader import JournalReader
from segmind_async.cli.demo.classifier import LabelBrain, NaiveBayes
from segmind_async.emulator import Emulator
from segmind_async.jobs import JournalError
from tests.support import KEY, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "spam_assassin.py"


def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spam_assassin", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(rows: Path, output: Path) -> list[str]:
    words = [sys.executable, "-m", "segmind_async", "classify", str(rows), "-o", str(output)]
    return [*words, "--labels", "spam,ham", "--truth-column", "label", "--json"]


def kept(journal: Path) -> int:
    try:
        with JournalReader(journal) as reader:
            return sum(reader.counts().values())
    except JournalError:
        return 0


def kill_at(process: subprocess.Popen[bytes], journal: Path, rows: int) -> int:
    deadline = time.monotonic() + 600
    while kept(journal) < rows:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return kept(journal)


def without_times(output: Path) -> list[dict[str, object]]:
    return [{**json.loads(line), "elapsed": None} for line in output.read_text().splitlines()]


def main() -> None:
    module = example()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, learner = folder / "mails.jsonl", NaiveBayes()
        mails = list(module.mails(module.fetch(folder)))
        rows.write_text("".join(json.dumps(mail) + "\n" for mail in mails))
        for mail in mails[::2]:
            learner.learn(mail["text"], mail["label"])
        with serving(Emulator(LabelBrain(learner), balance=10_000, key=KEY, latency=0.05)) as emulator:
            environment = {**os.environ, "SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": KEY}
            undisturbed, disturbed = folder / "a.jsonl", folder / "b.jsonl"
            subprocess.run(command(rows, undisturbed), env=environment, check=True, stdout=subprocess.PIPE)
            once = emulator.billed().total()
            journal = disturbed.with_name("b.jsonl.journal")
            for share in (1 / 3, 2 / 3):
                process = subprocess.Popen(
                    command(rows, disturbed), env=environment, stderr=subprocess.DEVNULL
                )
                print(f"killed with {kill_at(process, journal, int(share * len(mails)))} rows kept")
            got = subprocess.run(
                command(rows, disturbed), env=environment, check=True, stdout=subprocess.PIPE
            )
            twice = emulator.billed().total() - 2 * once
        report = json.loads(got.stdout)
        assert without_times(undisturbed) == without_times(disturbed)
        print(f"{len(mails)} mails, {report['resumed']} taken from the journal: both outputs are the same")
        print(
            f"rows {report['rows']}, accuracy {report['accuracy']:.1%}; {twice} asked twice after two kills"
        )


if __name__ == "__main__":
    main()
