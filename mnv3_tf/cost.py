"""Parameters, multiply-adds and the list of operators of a network, from its spec alone.

Conventions: parameters are the trainable ones (weights, biases, and BatchNorm's gamma and beta);
multiply-adds are those of convolutions and dense layers, squeeze-excite included, and nothing
else. Both reproduce the paper's Table 9. No TensorFlow here.

    python -m mnv3_tf.cost --model=large --width=0.75 --json
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.networks import resolve
from mnv3_tf.spec import NetworkSpec

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Operator:
    """One operator at batch 1; shapes are (height, width, channels) and exclude the batch.

    `kind` is "conv", "depthwise", "mean", "multiply" or "add"; `activation` is what is fused
    onto it or follows it ("linear" where nothing does); `stage` is the part of the network.
    """

    name: str
    stage: str
    kind: str
    input: Shape
    output: Shape
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    activation: str = "linear"
    params: int = 0
    madds: int = 0


@dataclass(frozen=True)
class Cost:
    params: int
    madds: int
    operators: tuple[Operator, ...]


def cost(spec: NetworkSpec, output_stride: int = 32) -> Cost:
    """Cost of the classifier at `spec.resolution`."""
    listed = tuple(operators(spec, output_stride))
    return Cost(sum(op.params for op in listed), sum(op.madds for op in listed), listed)


def operators(spec: NetworkSpec, output_stride: int = 32) -> Iterator[Operator]:
    """The operators of the classifier in the order in which they run."""
    at: Shape = (spec.resolution, spec.resolution, 3)
    stem = spec.stem
    op = _conv("conv", "stem", at, stem.filters, stem.kernel, stem.stride, stem.activation)
    yield op
    for placed in spec.placed_blocks(output_stride):
        block, name, block_input = placed.block, placed.name, op.output
        if placed.has_expansion:
            op = _conv(f"{name}_expand", name, op.output, block.expansion, 1, 1, block.activation)
            yield op
        op = _depthwise(
            f"{name}_depthwise",
            name,
            op.output,
            block.kernel,
            placed.stride,
            placed.dilation,
            block.activation,
        )
        yield op
        if placed.squeeze_width:
            yield from _squeeze_excite(name, op.output, placed.squeeze_width, spec.gate)
        op = _conv(f"{name}_project", name, op.output, block.filters, 1, 1, "linear")
        yield op
        if placed.residual:
            yield Operator(f"{name}_add", name, "add", block_input, op.output)
    op = _conv("conv_1", "last_conv", op.output, spec.last_conv, 1, 1, spec.last_activation)
    yield op
    pooled: Shape = (1, 1, op.output[2])
    yield Operator("pool", "head", "mean", op.output, pooled)
    if spec.hidden:
        op = _conv("conv_2", "head", pooled, spec.hidden, 1, 1, spec.last_activation, bias=True)
        yield op
        pooled = op.output
    yield _conv("logits", "head", pooled, spec.num_classes, 1, 1, "linear", bias=True)


def _conv(
    name: str,
    stage: str,
    at: Shape,
    filters: int,
    kernel: int,
    stride: int,
    activation: str,
    bias: bool = False,
) -> Operator:
    """A convolution with a bias, or else with BatchNorm (two trainable parameters a filter)."""
    height, width, channels = at
    output = (math.ceil(height / stride), math.ceil(width / stride), filters)
    weights = kernel * kernel * channels * filters
    return Operator(
        name,
        stage,
        "conv",
        at,
        output,
        kernel,
        stride,
        1,
        activation,
        params=weights + (filters if bias else 2 * filters),
        madds=weights * output[0] * output[1],
    )


def _depthwise(
    name: str, stage: str, at: Shape, kernel: int, stride: int, dilation: int, activation: str
) -> Operator:
    height, width, channels = at
    output = (math.ceil(height / stride), math.ceil(width / stride), channels)
    weights = kernel * kernel * channels
    return Operator(
        name,
        stage,
        "depthwise",
        at,
        output,
        kernel,
        stride,
        dilation,
        activation,
        params=weights + 2 * channels,
        madds=weights * output[0] * output[1],
    )


def _squeeze_excite(name: str, at: Shape, width: int, gate: str) -> Iterator[Operator]:
    pooled: Shape = (1, 1, at[2])
    se = f"{name}_squeeze_excite"
    yield Operator(f"{se}_pool", name, "mean", at, pooled)
    yield _conv(f"{se}_conv", name, pooled, width, 1, 1, "relu", bias=True)
    yield _conv(f"{se}_conv_1", name, (1, 1, width), at[2], 1, 1, gate, bias=True)
    yield Operator(f"{se}_multiply", name, "multiply", at, at)


# -- command ---------------------------------------------------------------------------------


def define_flags(values: flags.FlagValues) -> None:
    cli.define_network_flags(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    spec = resolve(args.model, args.width, args.resolution, args.num_classes)
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
    title = f"{spec.name} at {spec.resolution}x{spec.resolution}"
    tables.show(title, ("stage", "output", "params", "MAdds", "part"), rows)
    if args.json:
        summary = {
            "params": total.params,
            "madds": total.madds,
            "model": spec.name,
            "resolution": spec.resolution,
            "num_classes": spec.num_classes,
            "hash": spec.hash,
        }
        print(json.dumps(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
