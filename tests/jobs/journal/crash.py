"""Jobs that are killed again and again: `python -m tests.jobs.journal.crash [--kills N] [--delivery D] [--seed S]`.

Every job is killed without warning at random moments until it ends in spite of that. Then: each row is in the
output once, with the right text; what the output says was paid is what the service has billed for those answers;
and what was paid twice is counted by the service's own books.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from segmind_async.emulator import Emulator
from tests.support import KEY, serving

from .nursery import Nursery

SLOTS = 8


@dataclass
class Tally:
    """What became of all the kills."""

    kills: int = 0
    jobs: int = 0
    rows: int = 0
    twice: int = 0
    by_kill: Counter[int] = field(default_factory=Counter)
    """How many kills cost so many answers that were paid and had to be paid again."""

    def __str__(self) -> str:
        spread = ", ".join(f"{count} x {rows}" for rows, count in sorted(self.by_kill.items()))
        return (
            f"{self.kills} kills in {self.jobs} jobs of {self.rows} rows: {self.twice} rows paid twice "
            f"(kills x rows paid twice: {spread})"
        )


def write_rows(path: Path, count: int) -> None:
    path.write_text("".join(json.dumps({"id": f"r{n}", "prompt": f"row {n}"}) + "\n" for n in range(count)))


def check(folder: Path, emulator: Emulator, rows: int, spent_before: Decimal) -> int:
    """Compare a finished job with the service's books; returns how many rows were paid twice."""
    found = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == [f"r{n}" for n in range(rows)]
    assert [row["text"] for row in found] == [f"echo: row {n}" for n in range(rows)]
    billed = emulator.billed()
    assert set(billed) == {f"row {n}" for n in range(rows)}
    named = sum(Decimal(row["cost"]) for row in found)
    costs = {call.prompt: call.cost for call in emulator.calls if call.cost is not None}
    assert named == sum(cost for cost in costs.values()), "each answer is named with what it cost"
    assert emulator.state.account.spent - spent_before == sum(
        (costs[prompt] or 0) * times for prompt, times in billed.items()
    )
    return billed.total() - rows


def kill_often(kills: int, delivery: str, seed: int, *, longest: float, rows: int) -> Tally:
    """Kill jobs until so many kills have hit."""
    chance, tally = random.Random(seed), Tally(rows=rows)
    latency = 0.02 if delivery == "direct" else 0.5
    with (
        tempfile.TemporaryDirectory() as name,
        serving(Emulator(latency=latency, balance=10_000, key=KEY)) as emulator,
    ):
        with Nursery(Path(name), SEGMIND_BASE_URL=emulator.url, SEGMIND_API_KEY=KEY) as nursery:
            while tally.kills < kills:
                folder = Path(name) / f"job {tally.jobs}"
                folder.mkdir()
                write_rows(folder / "in.jsonl", rows)
                _one_job(folder, emulator, nursery, tally, delivery, chance, kills, longest)
    return tally


def _one_job(
    folder: Path,
    emulator: Emulator,
    nursery: Nursery,
    tally: Tally,
    delivery: str,
    chance: random.Random,
    kills: int,
    longest: float,
) -> None:
    argv = [
        "run", str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"),
        "--max-in-flight", str(SLOTS), "--delivery", delivery,
    ]  # fmt: skip
    spent_before = emulator.state.account.spent
    emulator.billed().clear()
    emulator.calls.clear()
    ends: list[int] = []
    while tally.kills < kills and nursery.run_and_kill(*argv, after=chance.uniform(0.0, longest)):
        tally.kills += 1
        ends.append(len(emulator.calls))
    code, said = nursery.run(*argv)
    assert code == 0, said
    paid_twice = check(folder, emulator, tally.rows, spent_before)
    assert paid_twice <= len(ends) * SLOTS, f"{paid_twice} rows paid twice after {len(ends)} kills"
    tally.jobs += 1
    tally.twice += paid_twice
    tally.by_kill.update(_lost(emulator, ends))


def _lost(emulator: Emulator, ends: list[int]) -> list[int]:
    """Return how many paid answers each kill has cost; *ends* tell how many calls there were until then."""
    lost = [0] * len(ends)
    kept: set[str] = set()
    for number, call in reversed([*enumerate(emulator.calls)]):
        # Of several answers of a row the last one was kept: those before it went down with a process.
        if call.cost is not None and call.prompt in kept:
            lost[bisect_right(ends, number)] += 1
        elif call.cost is not None:
            kept.add(call.prompt)
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--delivery", choices=["direct", "queued"], default="direct")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the sums for a program")
    options = parser.parse_args()
    longest, rows = (0.4, 200) if options.delivery == "direct" else (2.5, 48)
    tally = kill_often(options.kills, options.delivery, options.seed, longest=longest, rows=rows)
    sums = {"kills": tally.kills, "jobs": tally.jobs, "rows": tally.rows, "twice": tally.twice}
    print(json.dumps(sums) if options.json else tally)


if __name__ == "__main__":
    main()
