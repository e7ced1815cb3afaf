"""A job from its dry run to its report, against the emulated service: no key, no cost.

Labels 200 tickets. What it would cost is said first, then ten rows are paid for to know better, then all
others; the last command tells from the journal what came of it. Needs the extra `cli`.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

TICKETS = {
    "billing": ["I was charged twice for order {n}", "Where is the invoice for order {n}?"],
    "login": ["My password for account {n} is not accepted", "Account {n} never gets the code"],
}


def segmind_async(*words: str) -> None:
    print(f"\n$ segmind-async {' '.join(Path(word).name for word in words)}", flush=True)
    subprocess.run([sys.executable, "-m", "segmind_async", *words], check=True)


def main(folder: Path) -> None:
    rows, labels = folder / "tickets.csv", folder / "labels.csv"
    with rows.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "label"])
        for n in range(50):
            for label, texts in TICKETS.items():
                table.writerows([f"{label}-{n}-{k}", text.format(n=n), label] for k, text in enumerate(texts))
    job = ["classify", str(rows), "-o", str(labels), "--labels", ",".join(TICKETS)]
    job += ["--truth-column", "label", "--emulate"]
    segmind_async(*job, "--dry-run")
    segmind_async(*job, "--sample", "10")
    segmind_async(*job)
    segmind_async("report", f"{labels}.journal")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
