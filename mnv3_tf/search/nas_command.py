"""Platform-aware search: the network with the best accuracy for its latency, in a space.

    python -m mnv3_tf.search nas --model=small --resolution=64 --dataset=shapes \
        --latency_table=host.json --target=0.75 --samples=150 --steps=120 --recipe=quick \
        --out=searches/shapes
    python -m mnv3_tf.search nas --model=mnasnet_a1 --dataset=tfds:imagenet2012 \
        --latency_table=phone.json --device=SERIAL --target=80ms --out=searches/large

The space is that of MnasNet around --model; --space changes its choices. --out receives spec.json,
which train.py, export_tflite.py and the benchmarks take, summary.json, report.html, and run/, the
network trained at the end. The same command goes on where it stopped.
"""

import json

from absl import flags

from mnv3_tf.search.settings import NasSettings
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    define(values, NasSettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = read(args, NasSettings)
    cli.import_tensorflow(args)
    from mnv3_tf.search.searches import nas

    summary = nas(settings)
    if args.json:
        print(json.dumps(summary))
