"""From the spec of any task to its Keras model."""

import math
from typing import Any

import tf_keras

from mnv3_tf.layers import LayerFactory, Lowering
from mnv3_tf.models.backbone import apply
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.operators import IMAGE
from mnv3_tf.tasks.specs import Spec

RARE = 0.01
"""How likely an object is thought to be where nothing is known yet (Lin et al. 2017, section 4.1):
without it the first steps go into saying no to thousands of anchors."""


def build(spec: Spec, lowering: Lowering | None = None, dropout: float = 0.0) -> tf_keras.Model:
    """A model from pictures (N, H, W, 3), RGB in [-1, 1], to what its task answers.

    "classify": logits (N, classes). "segment": logits (N, H, W, classes). "detect": a list of box
    codes (N, A, 4) and class logits (N, A, 1 + classes), the first class being the background.

    `dropout` is the rate (the part set to zero) before the logits; the paper's 0.8 is what slim
    keeps, hence a rate of 0.2.
    """
    listed = operators(spec)
    inputs = tf_keras.Input((*spec.image_size, 3), name=IMAGE)
    make = LayerFactory.of(spec.backbone, lowering, initializers=_initializers(spec))
    tensors = apply(listed, inputs, make, dropout)
    outputs: Any
    match spec.task:
        case "classify":
            outputs = tf_keras.layers.Flatten(name="flatten")(tensors["logits"])
        case "detect":
            outputs = [tensors["box_codes"], tensors["class_logits"]]
        case "segment":
            outputs = tensors["semantic"]
    return tf_keras.Model(inputs, outputs, name=spec.name.replace(".", "_"))


def _initializers(spec: Spec) -> dict[str, Any]:
    normal, constant = tf_keras.initializers.RandomNormal, tf_keras.initializers.Constant
    if spec.task == "classify":
        return {"logits": normal(stddev=0.01)}
    if spec.task == "segment":
        return {"logits": normal(stddev=0.01), "skip_logits": normal(stddev=0.01)}
    made: dict[str, Any] = {}
    for op in operators(spec):
        if op.stage in ("box_head", "class_head") and op.kind == "conv":
            made[op.name] = normal(stddev=0.03)
        if op.stage == "class_head" and op.kind == "conv":
            made[f"{op.name}_bias"] = constant(math.log(RARE / (1 - RARE)))
    return made
