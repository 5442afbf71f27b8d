"""The classifier: backbone, pooling, the cheap last stage, logits (paper section 5.1)."""

import tf_keras

from mnv3_tf import weights as weight_files
from mnv3_tf.layers import Lowering
from mnv3_tf.models.backbone import backbone, layer_factory
from mnv3_tf.networks import resolve
from mnv3_tf.spec import NetworkSpec


def build_classifier(
    spec: NetworkSpec, lowering: Lowering | None = None, dropout: float = 0.0
) -> tf_keras.Model:
    """A model from pictures (N, H, W, 3), RGB in [-1, 1], to logits (N, num_classes).

    `dropout` is the rate (the part set to zero) before the logits; the paper's 0.8 is what slim
    keeps, hence a rate of 0.2.
    """
    inputs = tf_keras.Input((spec.resolution, spec.resolution, 3), name="image")
    make = layer_factory(spec, lowering)
    x = backbone(inputs, spec, lowering).last
    x = tf_keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    if spec.hidden:
        x = make.dense(x, "conv_2", spec.hidden, spec.last_activation)
    if dropout:
        x = tf_keras.layers.Dropout(dropout, name="dropout")(x)
    small = tf_keras.initializers.RandomNormal(stddev=0.01)
    x = make.dense(x, "logits", spec.num_classes, "linear", small)
    x = tf_keras.layers.Flatten(name="flatten")(x)
    return tf_keras.Model(inputs, x, name=spec.name.replace(".", "_"))


def load_classifier(
    spec: NetworkSpec, weights: str | None, dropout: float = 0.0
) -> tuple[NetworkSpec, tf_keras.Model]:
    """The model with weights from a file, and the spec as the file needs it.

    Weights of other libraries may need another padding, epsilon or stem: the spec that comes
    back says so.
    """
    if weights is None:
        return spec, build_classifier(spec, dropout=dropout)
    found = weight_files.read(weights, spec)
    model = build_classifier(found.spec, dropout=dropout)
    weight_files.assign(model, found)
    return found.spec, model


def create_model(
    model: str = "large",
    width: float = 1.0,
    resolution: int | None = None,
    num_classes: int | None = None,
    weights: str | None = None,
    dropout: float = 0.0,
) -> tf_keras.Model:
    """A MobileNetV3 (or V2, or MnasNet-A1) classifier.

    Args:
      model: a name of `mnv3_tf.networks.NETWORKS`, or the path of a spec JSON.
      width: width multiplier, 0.35 to 1.25 in the paper.
      resolution: side of the square input in pixels; None is the spec's (224).
      num_classes: number of logits; None is the spec's (1000).
      weights: None, "imagenet", or a file in any format of `mnv3_tf.weights`.
      dropout: rate before the logits while training.

    Returns:
      A `tf_keras.Model` from RGB float32 in [-1, 1], (N, H, W, 3), to logits (N, num_classes).

    Raises:
      UserError: an unknown name, a value out of range, or weights of another architecture.
    """
    spec = resolve(model, width, resolution, num_classes)
    return load_classifier(spec, weights, dropout)[1]
