"""Parameters, multiply-adds and the stages of a network, from its spec alone.

Conventions: see `mnv3_tf.networks.cost`. Both reproduce the paper's Table 9.

    python -m mnv3_tf.cost --model=large --width=0.75 --json
    python -m mnv3_tf.cost --task=segment --model=small --resolution=1024x2048
"""

import json

from absl import flags

from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.graph import Operator
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.ui import cli, tables


def define_flags(values: flags.FlagValues) -> None:
    define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    spec = network_spec(args)
    total = cost(spec)
    stages: dict[str, list[Operator]] = {}
    for op in total.operators:
        stages.setdefault(op.stage, []).append(op)
    rows: list[tuple[object, ...]] = []
    for stage, ops in stages.items():
        params, madds = sum(op.params for op in ops), sum(op.madds for op in ops)
        shape = "x".join(map(str, ops[-1].output))
        rows.append((stage, shape, f"{params:,}", f"{madds:,}", f"{madds / total.madds:.1%}"))
    rows.append(("total", "", f"{total.params:,}", f"{total.madds:,}", ""))
    title = "{} at {}x{}".format(spec.name, *spec.image_size)
    tables.show(title, ("stage", "output", "params", "MAdds", "part"), rows)
    if args.json:
        summary = {
            "params": total.params,
            "madds": total.madds,
            "model": spec.name,
            "task": spec.task,
            "resolution": spec.resolution,
            "num_classes": spec.num_classes,
            "hash": spec.hash,
        }
        print(json.dumps(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
