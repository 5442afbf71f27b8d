"""Everything before the pooling, with taps for other networks."""

from collections.abc import Iterable, Sequence
from typing import Any

import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.layers import LayerFactory
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.graph import IMAGE, Operator, OperatorGraph
from mnv3_tf.networks.spec import NetworkSpec


def apply(
    listed: Iterable[Operator], image: Any, make: LayerFactory, dropout: float = 0.0
) -> dict[str, Any]:
    """The layers of the operators on pictures (N, H, W, 3); their outputs by name.

    `dropout` is the rate (the part set to zero) before "logits".
    """
    if make.lowering:
        # The range of the pictures is quantised like any other: as the output of a layer.
        image = tf_keras.layers.Activation("linear", name="input")(image)
    tensors = {IMAGE: image}
    for op in listed:
        if op.name == "logits" and dropout:
            dropped = tf_keras.layers.Dropout(dropout, name="dropout")(tensors[op.reads[0]])
            tensors["logits"] = make.operator(op, {op.reads[0]: dropped})
        else:
            tensors[op.name] = make.operator(op, tensors)
    return tensors


def create_backbone(
    spec: NetworkSpec,
    taps: Sequence[int | str] | None = None,
    lowering: Lowering | None = None,
    output_stride: int = 32,
    resolution: tuple[int | None, int | None] = (None, None),
) -> tf_keras.Model:
    """A model from pictures (N, H, W, 3) in [-1, 1] to a dictionary of features.

    `taps` are output strides (8: the last feature at it) and the endpoints that
    `NetworkSpec.add_backbone` gives ("expanded_conv_12_expand"); None is every output stride.

    Raises UserError for a tap that the network does not have.
    """
    graph = OperatorGraph(*spec.image_size)
    endpoints = spec.add_backbone(graph, output_stride)
    by_stride = {spec.stem.stride: "conv"}
    for placed in spec.placed_blocks(output_stride):
        by_stride[placed.output_stride] = endpoints[placed.name]
    by_stride[max(by_stride)] = endpoints["last"]
    available: dict[Any, str] = {**by_stride, **endpoints}
    chosen = list(by_stride) if taps is None else list(taps)
    for tap in chosen:
        if tap not in available:
            known = ", ".join(map(str, available))
            raise UserError(f"{spec.name} has no tap {tap!r}; choose among {known}.")
    inputs = tf_keras.Input((*resolution, 3), name=IMAGE)
    tensors = apply(graph.operators, inputs, LayerFactory.of(spec, lowering))
    outputs = {str(tap): tensors[available[tap]] for tap in chosen}
    return tf_keras.Model(inputs, outputs, name=f"{spec.name}_backbone".replace(".", "_"))
