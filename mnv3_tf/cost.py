"""Parameters, multiply-adds and the list of operators of a network, from its spec alone.

Conventions: parameters are the trainable ones (weights, biases, and BatchNorm's gamma and beta);
multiply-adds are those of convolutions and dense layers, squeeze-excite included, and nothing
else. Both reproduce the paper's Table 9. No TensorFlow here.

    python -m mnv3_tf.cost --model=large --width=0.75 --json
    python -m mnv3_tf.cost --task=segment --model=small --resolution=1024x2048
"""

import json
from dataclasses import dataclass

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf import operators as parts
from mnv3_tf.lraspp import SegmenterSpec, segmenter
from mnv3_tf.operators import Operator
from mnv3_tf.spec import NetworkSpec
from mnv3_tf.ssdlite import DetectorSpec, detector
from mnv3_tf.tasks import Spec


@dataclass(frozen=True)
class Cost:
    params: int
    madds: int
    operators: tuple[Operator, ...]


def cost(spec: Spec, output_stride: int = 32) -> Cost:
    """Cost of the network at its resolution; `output_stride` is that of a classifier."""
    listed = operators(spec, output_stride)
    return Cost(sum(op.params for op in listed), sum(op.madds for op in listed), listed)


def operators(spec: Spec, output_stride: int = 32) -> tuple[Operator, ...]:
    """The operators of a network in the order in which they run."""
    match spec:
        case DetectorSpec():
            graph = detector(spec)
        case SegmenterSpec():
            graph = segmenter(spec)
        case NetworkSpec():
            graph = parts.classifier(spec, output_stride)
    return tuple(graph.operators)


# -- command ---------------------------------------------------------------------------------


def define_flags(values: flags.FlagValues) -> None:
    cli.define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    spec = cli.network_spec(args)
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
