"""What a measurement gives: tables for readers, the same as JSON, and the machine they were made on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"
RESULTS = HERE / "results"

_OURS = ("segmind-async", "aiohttp", "anyio", "pydantic", "uvloop")


@dataclass(frozen=True)
class Table:
    """One table. `name` is its place in the README."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    above: str = ""
    """A line before it."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of what else was measured."""

    def markdown(self) -> str:
        """Return it as Markdown writes tables."""
        head = [
            *([self.above, ""] if self.above else []),
            _line(self.columns),
            "|---" * len(self.columns) + "|",
        ]
        return "\n".join([*head, *map(_line, self.rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """The quarter and three-quarter points."""
    if len(values) < 2:
        return "–"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f}–{high:.2f}"


def machine() -> dict[str, object]:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    for text in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if text.startswith("model name"):
            processor = text.split(":", 1)[1].strip()
    return {
        "measured_at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: _version(name) for name in _OURS},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def keep(name: str, tables: list[Table]) -> Path:
    """Write the tables into the README, between their marks, and all of it as JSON beside it."""
    where = machine()
    text = README.read_text(encoding="utf-8")
    for table in tables:
        told = f"Measured {where['measured_at']} UTC on {where['cores']} cores, Python {where['python']}."
        text = _with(text, table.name, f"{table.markdown()}\n\n{told}")
    README.write_text(text, encoding="utf-8")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"machine": where, "tables": [asdict(table) for table in tables]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _with(text: str, name: str, block: str) -> str:
    begin, end = f"<!-- {name} -->\n", "\n<!-- end -->"
    if begin not in text:
        raise LookupError(f"{README} has no place for {name}: {begin.strip()} … {end.strip()}")
    before, rest = text.split(begin, 1)
    return before + begin + block + end + rest.split(end, 1)[1]
