"""Times models on phones, in rounds, and writes results that can be trusted.

    python -m android_bench run --models=float.tflite,int8.tflite --out=phone
    python -m android_bench run --models=m.tflite --threads=1,2,4 --cores=big --dry_run

The phones are those of --serial, `all`, or the only one attached. The same command goes on where
it stopped, and does nothing more once all is measured. --out holds results.json, results.csv,
report.md, report.html, journal.jsonl and logs/.
"""

import json
import sys

from absl import flags

from mnv3_tf.measuring.phone.measure import Phones, commands, measure
from mnv3_tf.measuring.phone.models import load, warnings
from mnv3_tf.measuring.phone.plan import PhoneSettings
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_list("models", [], "The .tflite files; the first is 1x.", flag_values=values)
    define_phone_flags(values)
    flags.DEFINE_bool("dry_run", False, "Print the commands and do nothing.", flag_values=values)
    cli.define_json_flag(values)


def define_phone_flags(values: flags.FlagValues) -> None:
    """Which phones, how they are measured, and --out."""
    define(values, Phones)
    define(values, PhoneSettings)
    flags.DEFINE_string("out", None, "Folder of the results.", flag_values=values)


def main(args: flags.FlagValues) -> None:
    settings, phones = read(args, PhoneSettings), read(args, Phones)
    models = load(args.models)
    for text in warnings(models, settings.delegate):
        print(f"Warning: {text}", file=sys.stderr)
    if args.dry_run:
        print("\n".join(commands(models, settings, phones)))
        return
    found = measure(models, args.out, settings, phones)
    if args.json:
        print(json.dumps(found))
