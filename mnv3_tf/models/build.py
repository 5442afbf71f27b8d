"""From the spec of any task to its Keras model."""

import tf_keras

from mnv3_tf.layers import LayerFactory
from mnv3_tf.models.backbone import apply
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.graph import IMAGE
from mnv3_tf.tasks import Spec, task_of


def build(spec: Spec, lowering: Lowering | None = None, dropout: float = 0.0) -> tf_keras.Model:
    """A model from pictures (N, H, W, 3), RGB in [-1, 1], to what its task gives.

    A classifier's is logits (N, classes), and that of the other tasks stands in `mnv3_tf.tasks`.

    `dropout` is the rate (the part set to zero) before the logits; the paper's 0.8 is what slim
    keeps, hence a rate of 0.2.
    """
    listed, task = operators(spec), task_of(spec)
    inputs = tf_keras.Input((*spec.image_size, 3), name=IMAGE)
    make = LayerFactory.of(spec.backbone, lowering, initializers=task.initializers(listed))
    tensors = apply(listed, inputs, make, dropout)
    outputs = task.keras_outputs(tensors)
    return tf_keras.Model(inputs, outputs, name=spec.name.replace(".", "_"))
