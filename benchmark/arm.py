"""Instructions of .tflite files on ARM cores, without a phone: counted, exact and repeatable.

The aarch64 runtime itself runs under qemu, which shows it the core that is asked for, and a plug-in
counts what one inference executes. Ratios of instructions on a core lead; milliseconds stand beside
them where published measurements of the core carry them.

    python -m benchmark arm --setup
    python -m benchmark arm --models=float.tflite,int8.tflite --device=arm:cortex-a76,arm:cortex-a55
    python -m benchmark arm --fit --out=fit

Set-up makes the machine once, in ~/.cache/mnv3_tf/arm (or $MNV3_TF_CACHE/arm). It wants Debian's
qemu-user, gcc and libc6-dev, and neither root nor, once it is made, a network.
"""

import json
from collections.abc import Iterator, Sequence

from absl import flags

from benchmark import arm_fit
from mnv3_tf.measuring.arm import count_results, installation
from mnv3_tf.measuring.arm.count_results import CountResults, CountRow, CountSettings
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_bool("setup", False, "Make the machine, if it is not there.", flag_values=values)
    flags.DEFINE_list("models", [], "The .tflite files; the first is 1x.", flag_values=values)
    flags.DEFINE_bool(
        "fit", False, "Fit each core's constants to published latencies.", flag_values=values
    )
    define(values, CountSettings)
    flags.DEFINE_string(
        "out", None, "Folder for results.json and instructions.png.", flag_values=values
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if args.setup:
        print(f"The ARM machine is in {installation.set_up().folder}.")
        if not args.models:
            return
    if args.fit:
        arm_fit.fit_constants(args.out)
        return
    report(args, read(args, CountSettings))


def report(args: flags.FlagValues, settings: CountSettings) -> None:
    """Counts --models and says what --out and --json ask for."""
    results = count_results.count_files(args.models, settings)
    show(results)
    if args.out:
        count_results.write_results(results, args.out)
    if args.json:
        print(json.dumps(results))


COLUMNS = ("model", "M instr.", "ratio", "M MACs", "MB", "ms", "from", "to", "grade")
"""MB: of weights. ms: estimated, and the bounds of its interval."""


def show(results: CountResults) -> None:
    """Prints a table for each device, and where an estimate extrapolates."""
    for device, what in results["devices"].items():
        rows = [row for row in results["models"] if row["device"] == device]
        tables.show(what, COLUMNS, [_row(row) for row in rows])
        if any(row["operators"] for row in rows):
            columns = ("operator", *(row["name"] for row in rows))
            tables.show("Share of instructions", columns, list(_shares(rows)))
    for words in dict.fromkeys(row["extrapolated"] for row in results["models"]):
        if words:
            print(f"Extrapolated: {words}.")


def _shares(rows: Sequence[CountRow]) -> Iterator[tuple[str, ...]]:
    """By type of operator, then of all together: operators alone are not quite the whole."""
    parts = [row["operators"] or {} for row in rows]
    for name in dict.fromkeys(name for part in parts for name in part):
        yield (
            name,
            *(
                _share(part[name], row) if name in part else "-"
                for part, row in zip(parts, rows, strict=True)
            ),
        )
    yield ("all", *(_share(sum(part.values()), row) for part, row in zip(parts, rows, strict=True)))


def _share(instructions: int, row: CountRow) -> str:
    return tables.percent(instructions / row["instructions"])


def _row(row: CountRow) -> tuple[object, ...]:
    return (
        row["name"],
        f"{row['instructions'] / 1e6:.2f}",
        f"{row['ratio']:.3f}",
        "-" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}",
        f"{row['weight_bytes'] / 1e6:.2f}",
        *("-" if ms is None else f"{ms:.1f}" for ms in (row["ms"], row["ms_low"], row["ms_high"])),
        row["grade"],
    )
