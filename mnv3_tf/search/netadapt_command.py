"""NetAdapt: from a trained network to one of a lower latency, a small cut at a time.

    python -m mnv3_tf.search netadapt --run=runs/flowers --latency_table=host.json \
        --target=0.75 --steps=40 --out=searches/flowers
    python -m mnv3_tf.search netadapt --model=large --weights=imagenet \
        --dataset=tfds:imagenet2012 --latency_table=phone.json --device=SERIAL --target=51ms \
        --out=searches/large

The starting point is the network of a run folder, or a model with its weights. --out receives
spec.json and weights.weights.h5, which train.py, export_tflite.py and the benchmarks take,
summary.json, report.html, and run/, the network trained at the end. The same command goes on where
it stopped.
"""

import json

from absl import flags

from mnv3_tf.search.settings import NetAdaptSettings
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    define(values, NetAdaptSettings)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    settings = read(args, NetAdaptSettings)
    cli.import_tensorflow(args)
    from mnv3_tf.search.searches import netadapt

    summary = netadapt(settings)
    if args.json:
        print(json.dumps(summary))
