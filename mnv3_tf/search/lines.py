"""The networks of a report side by side: predicted, measured, counted."""

from collections.abc import Sequence
from typing import Any

from mnv3_tf.cost import cost
from mnv3_tf.export import skeleton
from mnv3_tf.search.latency import Latency, Timer, measure, shown
from mnv3_tf.spec import NetworkSpec

COLUMNS = ("network", "predicted", "measured", "M MAdds", "M params", "held-out top-1")


def compare(
    networks: Sequence[tuple[NetworkSpec, float | None]],
    latency: Latency,
    timer: Timer | None,
    quantize: skeleton.Precision,
) -> list[dict[str, Any]]:
    """A line of summary.json for each network with its accuracy, where that is known.

    They are measured together, where there is a `timer`.
    """
    specs = [spec for spec, _ in networks]
    measured: list[float | None] = [None] * len(specs)
    if timer:
        measured = [*measure(timer, [skeleton.network(spec, quantize) for spec in specs])]
    return [
        {
            "network": spec.name,
            "spec_hash": spec.hash,
            "predicted": predicted,
            "measured_us": microseconds,
            "madds": cost(spec).madds,
            "params": cost(spec).params,
            "held_out_top1": accuracy,
        }
        for (spec, accuracy), predicted, microseconds in zip(
            networks, latency.of(specs), measured, strict=True
        )
    ]


def rows(lines: Sequence[dict[str, Any]], unit: str) -> list[tuple[str, ...]]:
    """The cells of COLUMNS; predicted latencies are in `unit`."""
    return [
        (
            line["network"],
            shown(line["predicted"], unit),
            "-" if line["measured_us"] is None else shown(line["measured_us"], "µs"),
            f"{line['madds'] / 1e6:.1f}",
            f"{line['params'] / 1e6:.2f}",
            "-" if line["held_out_top1"] is None else f"{line['held_out_top1']:.4f}",
        )
        for line in lines
    ]
