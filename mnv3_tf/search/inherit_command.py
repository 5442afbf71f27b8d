"""Weights of a trained network for one of other widths: what fits is kept, the rest is new.

    python -m mnv3_tf.search inherit --run=runs/flowers --model=small --width=0.75 \
        --resolution=128 --out=narrow.weights.h5

NetAdapt does it at every step; here it makes the width multiplier's network a fair rival of what
NetAdapt found. train.py --weights takes the file.
"""

from pathlib import Path

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.ui import cli


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("run", None, "The run folder to inherit from.", flag_values=values)
    define_network_flags(values)
    flags.DEFINE_string("out", None, "The weights, a .weights.h5 file.", flag_values=values)


def main(args: flags.FlagValues) -> None:
    if not args.run:
        raise UserError("--run is missing; give the folder of a trained classifier.")
    if not args.out or not args.out.endswith(".weights.h5"):
        raise UserError(f"--out={args.out or ''} must be a .weights.h5 file.")
    cli.import_tensorflow(args)
    from mnv3_tf.models import build
    from mnv3_tf.search.inherit import inherit
    from mnv3_tf.search.starting_point import require_classifier
    from mnv3_tf.training.trained import load_run
    from mnv3_tf.weights import assign_layers, collect

    parent = load_run(args.run)
    theirs = require_classifier(parent.spec)
    spec = require_classifier(network_spec(args)).replace(num_classes=theirs.num_classes)
    model = build(spec)
    assign_layers(model, inherit(spec, collect(model), theirs, collect(parent.model)))
    with atomic_write(Path(args.out)) as temporary:
        model.save_weights(temporary)
    print(f"Written: {args.out}, for {spec.name} of {spec.num_classes} classes.")
