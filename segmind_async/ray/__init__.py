"""Jobs on Ray: an actor class for Ray Data, and one gateway in front of all actors. Needs the extra `ray`.

dataset.map_batches(SegmindMapper, fn_constructor_args=[job], concurrency=2, batch_format="pyarrow")

`run_dataset` does the same with a gateway as an actor, so that floor, pace and credits hold for the sum.
"""

from __future__ import annotations

from ._dataset import run_dataset
from ._gateway import GatewayAddress, GatewaySettings
from ._mapper import SegmindMapper

__all__ = ["GatewayAddress", "GatewaySettings", "SegmindMapper", "run_dataset"]
