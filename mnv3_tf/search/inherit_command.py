"""Weights of a trained network for one of other widths: what fits is kept, the rest is new.

    python -m mnv3_tf.search inherit --run=runs/flowers --model=small --width=0.75 \
        --resolution=128 --out=narrow.weights.h5

NetAdapt does it at every step; here it makes the width multiplier's network a fair rival of the
one that NetAdapt ends with. train.py --weights takes the file.
"""

from absl import flags

from mnv3_tf.search.settings import InheritSettings
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import define, read


def define_flags(values: flags.FlagValues) -> None:
    define(values, InheritSettings)


def main(args: flags.FlagValues) -> None:
    settings = read(args, InheritSettings)
    cli.import_tensorflow(args)
    from mnv3_tf.search.inherit import inherit_run

    spec = inherit_run(settings)
    print(f"Written: {settings.out}, for {spec.name} of {spec.num_classes} classes.")
