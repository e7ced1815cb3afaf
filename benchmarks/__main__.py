"""The front door: `python -m benchmarks NAME`, or `all`. With `--write` results go into README.md."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

from .tables import Table, keep

MEASUREMENTS = {
    "overhead": "client CPU per call, beside bare aiohttp and other clients",
    "steps": "steps of the interpreter a call takes, function by function: counted, not timed",
    "latency": "what a client adds to the server's own latency",
    "bulk": "rows of a file through clients for bulk work: CPU, memory, what a kill -9 costs",
    "memory": "memory against the number of rows, and of a call that waits",
    "admission": "cost of a grant against the number of waiting calls",
    "jobs": "what a journal costs per row, in memory, at a resume",
    "doors": "many processes with one key, killed at random: behind a gateway, guarded, unguarded",
    "scale": "10⁷ rows in seven days with failures of everything, in virtual time; journals of shards",
    "gateway": "what the gateway adds to a call, beside litellm's proxy, and what a load leaves behind",
    "batches": "a batch of 50 000 rows of the gateway, which is killed midway: time, memory, paid twice",
    "startup": "time to import the package, and of --help",
    "guard": "one run down to the floor, drawn",
    "flow": "how well the admission spends money and rate (most of an hour)",
}
"""Each is a module here with `add_options` and `run`; a new one needs a line, and its places in README.md."""


class Measurement(Protocol):
    def add_options(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> list[Table]: ...


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    modules = {name: cast(Measurement, import_module(f".{name}", __package__)) for name in MEASUREMENTS}
    for name, what in MEASUREMENTS.items():
        one = names.add_parser(name, help=what, description=what)
        one.add_argument("--write", action="store_true", help="put the results into README.md and results/")
        modules[name].add_options(one)
    everything = names.add_parser("all", help="all of them, one after the other, with --write")
    everything.set_defaults(write=True)
    given = parser.parse_args()
    for name in MEASUREMENTS if given.name == "all" else [given.name]:
        options = parser.parse_args([name, "--write"]) if given.name == "all" else given
        tables = modules[name].run(options)
        for table in tables:
            print(f"\n{table.markdown()}", flush=True)
        if options.write and tables:
            print(f"\n{keep(name, tables)}", flush=True)


if __name__ == "__main__":
    main()
