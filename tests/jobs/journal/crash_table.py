"""All that a journal must survive, at once: `python -m tests.jobs.journal.crash_table [--seconds S]`.

Kills at random moments, a bit flipped at each byte of the last pages and at random elsewhere, cuts at each byte of
the last pages; two processes work at a time. Ends with what was done in the time, and writes the page with its
table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path

from .test_damage import check, expected, filled

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "crash-points.md"
LAST_BYTES = 2 * 4096
"""Bytes of the last two pages of a journal."""
RANDOM_FLIPS = 4000
SHARD = 50
"""Kills of one process."""
AT_ONCE = 2

Part = tuple[str, ...]
"""A command of this module's `one`, or of `crash`."""

HEAD = """# Crash points

What was done to jobs and journals, and what became of their rows: `make crash`, two processes at a time.
*Right* is a journal that was used, and of which each answer was right; what was damaged was named and asked again.
*Refused* is a clear error. A wrong text, a traceback or a row lost without a word would have ended the run.

"""


def parts(kills: int) -> Iterator[Part]:
    """Yield all parts, those of each kind taken in turns."""
    direct, queued = kills * 7 // 10, kills * 3 // 10
    kinds: list[list[Part]] = [
        [("kill", "direct", str(seed)) for seed in range(direct // SHARD)],
        [("kill", "queued", str(seed)) for seed in range(queued // SHARD)],
        [("flip", str(first)) for first in range(0, LAST_BYTES, 512)],
        [("cut", str(first)) for first in range(0, LAST_BYTES, 512)],
        [("random", str(seed)) for seed in range(RANDOM_FLIPS // 500)],
    ]
    turns: Iterator[tuple[Part | None, ...]] = zip_longest(*kinds)
    return (part for part in chain.from_iterable(turns) if part is not None)


def run(part: Part, deadline: float) -> tuple[Part, dict[str, int] | None]:
    """Run a part in a process of its own; None if its time is over."""
    if time.monotonic() > deadline:
        return part, None
    if part[0] == "kill":
        _, delivery, seed = part
        name, words = "crash", ["--kills", str(SHARD), "--delivery", delivery, "--seed", seed, "--json"]
    else:
        name, words = "crash_table", ["--one", *part]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.jobs.journal.{name}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{part}: {done.stderr}")
    return part, json.loads(done.stdout)


async def one(kind: str, first: int) -> dict[str, int]:
    """Damage one journal in the ways of a part, and return how often it was used or refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        await filled(path)
        data, chance = path.read_bytes(), random.Random(first)
        begin = max(0, len(data) - LAST_BYTES) + first
        places = [*range(begin, min(begin + 512, len(data)))]
        if kind == "random":
            places = [chance.randrange(len(data)) for _ in range(500)]
        used = 0
        for place in places:
            changed = bytearray(data)
            if kind == "cut":
                del changed[place:]
            else:
                changed[place] ^= 1 << chance.randrange(8)
            used += await check(path, bytes(changed))
    return {"points": len(places), "right": used, "refused": len(places) - used}


def page(found: dict[str, Counter[str]], minutes: float) -> str:
    """Return the page."""
    rows = [
        f"| a job killed, {name} delivery | {sums['kills']} | {sums['jobs']} jobs of {sums['rows']} rows: all right; "
        f"{sums['twice']} answers paid twice |"
        for name in ("direct", "queued")
        if (sums := found[f"kill {name}"])
    ]
    names = {
        "flip": "a bit flipped at each byte of the last two pages",
        "cut": "cut off at each byte of the last two pages",
        "random": "a bit flipped at random",
    }
    rows += [
        f"| {text} | {sums['points']} | {sums['right']} right, {sums['refused']} refused |"
        for kind, text in names.items()
        if (sums := found[kind])
    ]
    ran = f"\nThe last run took {minutes:.0f} minutes. Each journal of the lower rows holds {len(expected())} rows.\n"
    return HEAD + "| what | points | what became of it |\n|---|---|---|\n" + "\n".join(rows) + "\n" + ran


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800, help="no new part begins after that")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "FIRST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asyncio.run(one(options.one[0], int(options.one[1])))))
        return
    began = time.monotonic()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part, sums in pool.map(lambda part: run(part, began + options.seconds), parts(options.kills)):
            if sums is None:
                print("not run for want of time:", *part)
                continue
            rows = sums.pop("rows", None)
            kind = found[" ".join(part[:2]) if part[0] == "kill" else part[0]]
            kind.update(sums)
            if rows is not None:
                kind["rows"] = rows
            print(*part, sums, flush=True)
    PAGE.write_text(page(found, (time.monotonic() - began) / 60), encoding="utf-8")


if __name__ == "__main__":
    main()
