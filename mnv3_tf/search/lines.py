"""The networks of a report side by side: predicted, measured, counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.search.latency import Latency, Timer, measure, shown
from mnv3_tf.tflite import skeleton

COLUMNS = ("network", "predicted", "measured, part", "M MAdds", "M params", "held-out")
"""*part* is that of the seed's measured latency, *held-out* the top-1 on held-out pictures."""
MEASUREMENTS = 3
"""Of all networks together; a machine's pace drifts less within one than from one to the next."""


def compare(
    networks: Sequence[tuple[NetworkSpec, float | None]],
    latency: Latency,
    timer: Timer | None,
    quantize: skeleton.Precision,
) -> list[dict[str, Any]]:
    """A line of summary.json for each network with its accuracy, where that is known.

    The first is the seed, of whose latency the others have a part. They are measured together,
    where there is a `timer`; what is told is the median of the measurements, for the parts too.
    """
    specs = [spec for spec, _ in networks]
    predicted = latency.of(specs)
    measured: list[tuple[float | None, float | None]] = [(None, None)] * len(specs)
    if timer:
        contents = [skeleton.network(spec, quantize) for spec in specs]
        times = np.array([measure(timer, contents) for _ in range(MEASUREMENTS)])
        medians, parts = np.median(times, 0), np.median(times / times[:, :1], 0)
        measured = list(zip(medians.tolist(), parts.tolist(), strict=True))
    return [
        {
            "network": spec.name,
            "spec_hash": spec.hash,
            "predicted": now,
            "predicted_part": now / predicted[0],
            "measured_us": microseconds,
            "measured_part": part,
            "madds": cost(spec).madds,
            "params": cost(spec).params,
            "held_out_top1": accuracy,
        }
        for (spec, accuracy), now, (microseconds, part) in zip(
            networks, predicted, measured, strict=True
        )
    ]


def rows(lines: Sequence[dict[str, Any]], unit: str) -> list[tuple[str, ...]]:
    """The cells of COLUMNS; predicted latencies are in `unit`."""
    return [
        (
            line["network"],
            shown(line["predicted"], unit),
            "-"
            if line["measured_us"] is None
            else f"{shown(line['measured_us'], 'µs')}  {line['measured_part']:.3f}",
            f"{line['madds'] / 1e6:.1f}",
            f"{line['params'] / 1e6:.2f}",
            "-" if line["held_out_top1"] is None else f"{line['held_out_top1']:.4f}",
        )
        for line in lines
    ]
