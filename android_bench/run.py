"""Times models on phones, in rounds, and writes results that can be trusted.

    python -m android_bench run --models=float.tflite,int8.tflite --out=phone
    python -m android_bench run --models=m.tflite --threads=1,2,4 --cores=big --dry_run

The phones are those of --serial, `all`, or the only one attached. The same command goes on where
it stopped, and does nothing more once all is measured. --out holds results.json, results.csv,
report.md, report.html, journal.jsonl and logs/.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from android_bench.measure import measure
from mnv3_tf.errors import UserError
from mnv3_tf.measuring.phone import binary, plan
from mnv3_tf.measuring.phone.adb import Adb
from mnv3_tf.measuring.phone.models import Model, load, warnings
from mnv3_tf.ui import cli


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("models", [], "The .tflite files; the first is 1x.", flag_values=values)
    define_phone_flags(values)
    define_measuring_flags(values)
    flags.DEFINE_bool("dry_run", False, "Print the commands and do nothing.", flag_values=values)
    cli.define_json_flag(values)


def define_phone_flags(values: flags.FlagValues) -> None:
    """--serial, --adb, and where the binary comes from."""
    flags.DEFINE_list("serial", [], "Phones, or all.", flag_values=values)
    flags.DEFINE_string("adb", None, "The adb client.", flag_values=values)
    flags.DEFINE_string(
        "benchmark_binary",
        None,
        "benchmark_model for the phone; without it TFLite's nightly build is downloaded.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "benchmark_sha256", None, "Refuse any other benchmark_model.", flag_values=values
    )


def define_measuring_flags(values: flags.FlagValues) -> None:
    """The fields of `plan.PhoneSettings`, and --out."""
    default = plan.PhoneSettings()
    flags.DEFINE_string(
        "cores", default.cores, "big, mid, little, default, or a hex mask.", flag_values=values
    )
    flags.DEFINE_list("threads", ["1"], "One number or several.", flag_values=values)
    flags.DEFINE_integer(
        "rounds", default.rounds, "How often each model gets a turn.", flag_values=values
    )
    flags.DEFINE_integer(
        "num_runs", default.num_runs, "Least inferences in a turn.", flag_values=values
    )
    flags.DEFINE_string(
        "cooldown",
        "auto",
        "Before each turn: auto waits until the phone is cool, SECONDS, or none.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "delegate",
        default.delegate,
        ["xnnpack", "none", "gpu", "nnapi"],
        "Who runs the operators.",
        flag_values=values,
    )
    flags.DEFINE_bool("profile_ops", False, "Time each operator too.", flag_values=values)
    flags.DEFINE_bool(
        "fixed_performance",
        False,
        "Bound the clocks at what the phone sustains (Android 11 and newer).",
        flag_values=values,
    )
    flags.DEFINE_float(
        "timeout", default.timeout_s, "Seconds until a run counts as hanging.", flag_values=values
    )
    flags.DEFINE_float(
        "reconnect",
        default.reconnect_s,
        "Seconds to wait for a phone that went away.",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "Folder of the results.", flag_values=values)


def main(args: flags.FlagValues) -> None:
    settings = read_settings(args)
    models = load(args.models)
    for text in warnings(models, settings.delegate):
        print(f"Warning: {text}", file=sys.stderr)
    if args.dry_run:
        for line in dry_run(args, models, settings):
            print(line)
        return
    found = measure(args, models, settings)
    if args.json:
        print(json.dumps(found))


def read_settings(args: flags.FlagValues) -> plan.PhoneSettings:
    """Raises UserError for values out of range."""
    try:
        threads = tuple(int(text) for text in args.threads)
    except ValueError:
        raise UserError(
            f"--threads={','.join(args.threads)} is no list of numbers; give --threads=1,2,4."
        ) from None
    return plan.PhoneSettings(
        threads=threads,
        rounds=args.rounds,
        num_runs=args.num_runs,
        cores=args.cores,
        delegate=args.delegate,
        cooldown_s=_cooldown(args.cooldown),
        profile_ops=args.profile_ops,
        fixed_performance=args.fixed_performance,
        timeout_s=args.timeout,
        reconnect_s=args.reconnect,
    )


def _cooldown(text: str) -> float | None:
    if text in ("auto", "none"):
        return None if text == "auto" else 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(f"--cooldown={text} is unknown; give auto, none, or seconds.")
    return seconds


def dry_run(
    args: flags.FlagValues, models: Sequence[Model], settings: plan.PhoneSettings
) -> list[str]:
    """The commands of the first round and of the runs apart, without touching a phone.

    What only the phone or the binary can tell stands in capitals.
    """
    client = args.adb or "adb"
    program = (
        binary.local(args.benchmark_binary, args.benchmark_sha256)
        if args.benchmark_binary
        else binary.Binary(Path("BENCHMARK_MODEL"), "SHA256", "")
    )
    named = settings.cores in ("big", "mid", "little")
    mask = f"{settings.cores.upper()}_MASK" if named else settings.cores
    mask_or_none = None if settings.cores == "default" else mask
    lines = []
    for serial in args.serial or ["SERIAL"]:
        phone = Adb(client, serial)
        path = program.on_phone
        lines.append(shlex.join(phone.words("shell", f"mkdir -p {path.rpartition('/')[0]}")))
        pushes = [(str(program.path), path)]
        pushes += [(str(model.path), model.on_phone) for model in models]
        lines += [shlex.join(phone.words("push", *pair)) for pair in pushes]
        lines.append(shlex.join(phone.words("shell", f"chmod 755 {path}")))
        for task in plan.tasks(models, settings, "", program.sha256, mask_or_none):
            bound = ["taskset", mask] if mask_or_none else []
            flags_ = task.configuration.arguments(binary.TFLITE, task.model.on_phone)
            lines.append(shlex.join(phone.words("shell", shlex.join([*bound, path, *flags_]))))
    return lines
