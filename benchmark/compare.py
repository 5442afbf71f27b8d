"""Tests whether models became slower since an earlier `latency`; exits with 1 if they did.

    python -m benchmark compare before/ after/ --bound=5

So it does with two results of `arm`, whose counts do not vary: half a percent is its bound there.

The interval in the table knows how rounds of one run differ. Two runs of one file differ by a
little more, which the bound has to allow for. Results of another CPU, number of threads, delegate
or LiteRT version are refused unless --force is given.
"""

from collections.abc import Hashable
from typing import cast

from absl import flags

from mnv3_tf.measuring import comparison
from mnv3_tf.measuring.arm.count_results import CountResults
from mnv3_tf.measuring.comparison import COUNTS, Form, Measurement, Timing
from mnv3_tf.measuring.latency import SCHEMA_VERSION, LatencyResults
from mnv3_tf.measuring.statistics import FEWEST_ROUNDS

BARE = comparison.BARE
define_flags = comparison.define_flags


def main(args: flags.FlagValues) -> None:
    comparison.compare(Form("benchmark", "latency", SCHEMA_VERSION, parse), args)


def parse(found: LatencyResults | CountResults) -> Measurement:
    if "devices" in found:
        return parse_counts(cast(CountResults, found))
    return parse_times(found)


def parse_counts(found: CountResults) -> Measurement:
    conditions = [
        ("runtime", found["runtime"]),
        *((name, found["settings"][name]) for name in ("delegate", "input_shape")),
    ]
    counts: dict[Hashable, Timing] = {}
    for row in found["models"]:
        instructions = float(row["instructions"])
        name = f"{row['name']}, {row['device']}"
        counts[name] = Timing(name, 1, instructions, [instructions] * FEWEST_ROUNDS)
    return Measurement(conditions, counts, COUNTS)


def parse_times(found: LatencyResults) -> Measurement:
    machine, settings = found["machine"], found["settings"]
    conditions = [
        ("CPU", machine["cpu"]),
        ("number of threads", settings["threads"]),
        ("delegate", "xnnpack" if settings["delegate"] else "none"),
        ("LiteRT version", machine["versions"]["ai-edge-litert"]),
    ]
    timings = [
        Timing(model["name"], settings["threads"], model["median_us"], model["rounds_us"])
        for model in found["models"]
    ]
    return Measurement(conditions, {timing.model: timing for timing in timings})
