"""Latency of .tflite files on this host, compared fairly.

Every model is loaded once and warmed up. Then come rounds: in each, every model runs one burst
of inferences, in an order shuffled anew, so that a slow moment of the machine hits all of them.
Reported are the headline, which is the tenth percentile of all inferences ("full pace", which
others' work on the machine hardly touches), and the median, with confidence intervals over the
rounds and ratios to the first model. Times are of warm caches, without filling in the input.

    python -m benchmark latency --models=float.tflite,int8.tflite --threads=1 --out=DIR
    python -m benchmark latency --models=... --device=arm:cortex-a76    (as benchmark arm does)
"""

import json

from absl import flags

from benchmark import arm
from mnv3_tf.errors import UserError
from mnv3_tf.measuring import latency
from mnv3_tf.measuring.arm.cores import is_arm
from mnv3_tf.measuring.arm.count_results import CountSettings
from mnv3_tf.measuring.latency import HostSettings, LatencyRow
from mnv3_tf.measuring.statistics import half_width, headline_of
from mnv3_tf.measuring.timers import HOST
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("models", [], "The .tflite files; the first is 1x.", flag_values=values)
    define(values, HostSettings)
    define_device_flag(values)
    flags.DEFINE_string("out", None, "Folder for results.json and latency.png.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = read(args, HostSettings)
    if args.device != [HOST]:
        arm.report(args, counting(args.device, settings))
        return
    results = latency.benchmark_latency(args.models, settings)
    tables.show(latency.title(results), COLUMNS, [_row(model) for model in results["models"]])
    for warning in results["warnings"]:
        print(f"Warning: {warning}")
    if args.out:
        latency.write_results(results, args.out)
    if args.json:
        print(json.dumps(results))


def define_device_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_list(
        "device", [HOST], "host, or ARM cores, as benchmark arm takes them.", flag_values=values
    )


def counting(devices: list[str], settings: HostSettings) -> CountSettings:
    """Raises UserError for what is no ARM core, and for more than one thread."""
    for device in devices:
        if not is_arm(device):
            raise UserError(
                f"--device={device} is neither host alone nor an ARM core such as arm:cortex-a76; "
                "phones are timed by python -m android_bench run."
            )
    if settings.threads != 1:
        raise UserError(f"--threads={settings.threads} cannot be counted; give --threads=1.")
    return CountSettings(tuple(devices), settings.delegate, settings.input_shape)


COLUMNS = ("model", "ms", "± %", "median", "p95", "ratio", "± %", "MB", "peak", "parts")
"""ms and ratio: at full pace; median and p95: of all inferences, in ms. ± is half the width of the
95 % interval, in percent, to fit; the JSON has the bounds. peak: MB of memory that loading and
running the file once adds."""


def _row(model: LatencyRow) -> tuple[object, ...]:
    headline = headline_of(model)
    return (
        model["name"],
        f"{headline.us / 1e3:.3f}",
        f"{half_width(headline.us, headline.interval):.1f}",
        f"{model['median_us'] / 1e3:.3f}",
        f"{model['p95_us'] / 1e3:.3f}",
        f"{model['full_pace_ratio']:.3f}",
        f"{half_width(model['full_pace_ratio'], model['full_pace_ratio_ci']):.1f}",
        f"{model['bytes'] / 1e6:.2f}",
        "-" if model["peak_mb"] is None else f"{model['peak_mb']:.0f}",
        "-" if model["partitions"] is None else model["partitions"],
    )
