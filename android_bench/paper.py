"""The paper's tables with a measured column, on one big core: 3 and 4, and V3 of 6, 7 and 8.

    python -m android_bench paper --out=paper
    python -m android_bench paper --only=classify,small --out=paper
    python -m android_bench paper --only=segment --num_runs=10 --out=streets

Makes each network with random weights (time does not depend on them), float and int8, times all
of them as `android_bench run` does, and prints the medians beside the paper's Pixel 1, 2 and 3.
"""

import json
from pathlib import Path

from absl import flags

from android_bench import run
from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.measuring import published
from mnv3_tf.measuring.phone import paper
from mnv3_tf.measuring.phone.measure import Phones, measure
from mnv3_tf.measuring.phone.members import choose
from mnv3_tf.measuring.phone.models import load
from mnv3_tf.measuring.phone.plan import PhoneSettings
from mnv3_tf.tasks import TASKS
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import command, read

SEGMENTATION_SIZES = {
    f"{height}x{width}": (height, width)
    for height, width in (published.HALF_SIZE, published.CITYSCAPES_SIZE)
}


def define_flags(values: flags.FlagValues) -> None:
    run.define_phone_flags(values)
    flags.DEFINE_integer(
        "resolution", 224, "Side of the classifiers' input, in pixels.", 32, flag_values=values
    )
    flags.DEFINE_enum(
        "segmentation_resolution",
        next(iter(SEGMENTATION_SIZES)),
        list(SEGMENTATION_SIZES),
        "Height and width of the pictures to segment; detectors see 320x320.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "only",
        [],
        f"Tasks ({', '.join(TASKS)}), networks, or both, instead of all.",
        flag_values=values,
    )
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings, phones = read(args, PhoneSettings), read(args, Phones)
    if not args.out:
        raise UserError("Where to? Give --out=DIR.")
    folder = Path(args.out) / "models"
    size = SEGMENTATION_SIZES[args.segmentation_resolution]
    members = choose(args.only, args.resolution, size)
    files = {paper.made(member, folder): member for member in members}
    more = [f"--resolution={args.resolution}", f"--out={args.out}"]
    more += [f"--segmentation_resolution={args.segmentation_resolution}"]
    more += [f"--only={','.join(args.only)}"] * bool(args.only)
    made_by = command("android_bench paper", phones, settings, more=more)
    models = load([str(path) for path in files])
    found = measure(models, args.out, settings, phones, made_by)
    measured = paper.beside_paper(found, files)
    write_json(Path(args.out) / "paper.json", measured)
    for task, quantize in paper.TITLES:
        rows = [row for row in measured if (row["task"], row["quantize"]) == (task, quantize)]
        for serial in dict.fromkeys(row["serial"] for row in rows):
            own = [row for row in rows if row["serial"] == serial]
            title = f"{paper.TITLES[task, quantize]}, {own[0]['resolution']}, {serial}"
            tables.show(title, paper.columns(task), [paper.line(row) for row in own])
    print(paper.EXPLANATION)
    if args.json:
        print(json.dumps(measured))
