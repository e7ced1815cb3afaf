"""Draw how the guard spends down to the floor: balance, holds and calls in flight over time, from one run.

The run is that of `flow`, family "spread 0.8, tied": single costs spread widely, dear calls
last longer, and nothing is known of a call before it ends.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anyio

from segmind_async import ChatRequest, Limits, SegmindClient, Timeouts

from . import virtual
from .flow import MODEL, MONEY, SLOTS, Service, budget_of
from .tables import Table

SEED = 1
Sample = tuple[float, float, float, int]


async def sampled(service: Service, floor: float) -> list[Sample]:
    """Run to the floor; return time, balance, held and in flight, ten times a second."""
    samples: list[Sample] = []
    client = SegmindClient(
        "k", model=MODEL, limits=Limits(SLOTS), timeouts=Timeouts(total=None), transport=service
    )

    async def sample() -> None:
        while True:
            seen = client.statistics()
            balance = float(service.state.account.balance)
            samples.append((anyio.current_time(), balance, float(seen.held), seen.in_flight))
            await anyio.sleep(0.1)

    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(sample)
        rows = (ChatRequest(f"{index} x") for index in range(10**9))
        async with client.fan_out(rows, floor=floor) as outcomes:
            async for _ in outcomes:
                pass
        tasks.cancel_scope.cancel()
    return samples


def draw(samples: list[Sample], floor: float, path: Path) -> None:
    """Draw two panels over one axis of time."""
    import matplotlib as mpl  # noqa: PLC0415  # of the group `bench`, and needed here alone

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    times, balances, held, in_flight = zip(*samples, strict=True)
    figure, (money, slots) = plt.subplots(
        2, 1, sharex=True, figsize=(9, 5.2), height_ratios=(3, 1), layout="constrained"
    )
    above = [balance - floor for balance in balances]
    money.plot(times, above, color="#1b6ca8", label="balance above the floor")
    money.fill_between(times, held, color="#f2a541", alpha=0.6, label="held for calls in flight")
    money.axhline(0, color="#b3261e", linewidth=1, label="floor")
    money.set_ylabel("credits")
    money.legend(frameon=False)
    slots.step(times, in_flight, color="#4a4a4a", where="post")
    slots.set_ylabel("in flight")
    slots.set_xlabel("seconds")
    for axes in (money, slots):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, times[-1])
    inset = money.inset_axes((0.36, 0.34, 0.42, 0.5))
    near = [n for n, value in enumerate(above) if value < 8]
    inset.plot([times[n] for n in near], [above[n] for n in near], color="#1b6ca8")
    inset.fill_between([times[n] for n in near], [held[n] for n in near], color="#f2a541", alpha=0.6)
    inset.axhline(0, color="#b3261e", linewidth=1)
    inset.set_title("the last stretch", fontsize=9)
    inset.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", type=Path, default=Path("docs/explanation/guard.png"))


def run(options: argparse.Namespace) -> list[Table]:
    family = next(family for family in MONEY if family.name == "spread 0.8, tied")
    balance, floor, _, _ = budget_of(family, SEED)
    service = Service(family, SEED, balance)
    samples = virtual.run(sampled(service, round(floor, 6)))
    draw(samples, floor, options.path)
    left = samples[-1][1] - floor
    print(f"{len(service.finished)} calls in {samples[-1][0]:.1f} s, {left:.4f} credits left above the floor")
    print(options.path)
    return []
