"""A dataset of Ray Data as a job, behind one gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..engines import ShardJob
from ._engine import engine
from ._gateway import GatewayAddress, GatewaySettings, start_gateway
from ._mapper import Door, SegmindMapper


def run_dataset(
    dataset: Any,
    job: ShardJob,
    *,
    gateway: GatewaySettings | GatewayAddress | None = None,
    concurrency: int | tuple[int, int] = 1,
    batch_size: int | None = None,
) -> Any:
    """Return *dataset* with the columns of results, as a dataset that sends when it is consumed.

    All calls go through one *gateway*, whose limits hold for the sum: settings start one as an actor beside
    the driver, which lives as long as that; an address names one that runs. *concurrency* is the number of
    actors, or its bounds. The rows of a batch are one shard: *batch_size* of them, None: those of a block.
    Each shard is a file, and a look into the index of all, so thousands of rows cost less than a few.

    Raises ConfigurationError without Ray, or if the gateway cannot start.
    """
    pool = engine().data.ActorPoolStrategy
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    return dataset.map_batches(
        SegmindMapper,
        fn_constructor_args=[job, door_of(gateway, Path(job.journal))],
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=pool(min_size=least, max_size=most),
    )


def door_of(gateway: GatewaySettings | GatewayAddress | None, journal: Path) -> Door:
    """Return the way to a gateway that runs, or start one."""
    if isinstance(gateway, GatewayAddress):
        return gateway
    return start_gateway(gateway or GatewaySettings(), journal)
