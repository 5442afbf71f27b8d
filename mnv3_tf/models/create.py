"""Models by name, and with weights from a file."""

from dataclasses import replace

import tf_keras

from mnv3_tf import weights as weight_files
from mnv3_tf.models.build import build
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.networks.pixels import InputRange
from mnv3_tf.tasks import Spec
from mnv3_tf.tasks.specs import NamedNetwork, make_spec
from mnv3_tf.tasks.task import Head
from mnv3_tf.weights import dense


def spec_for(asked: NamedNetwork, head: Head, weights: str | None) -> Spec:
    """The spec that is asked for, where the `weights` decide --tail=auto.

    Those of a whole detector or segmentation network have either tail, those of a classifier the
    full one; without any it is half.
    """
    spec = make_spec(asked, head, pretrained=weights is not None)
    layers = dense.read(weights) if weights and spec.backbone is not spec else None
    if layers is None or head.tail != "auto":
        return spec
    half = make_spec(asked, replace(head, tail="half"), pretrained=True)
    return max((spec, half), key=lambda one: dense.fitting(operators(one), layers))


def load_model(
    spec: Spec,
    weights: str | None,
    dropout: float = 0.0,
    input_range: InputRange | None = None,
) -> tuple[Spec, tf_keras.Model]:
    """The model with weights from a file or run folder, and the spec as these need it.

    A detector or a segmentation network gets its backbone from a classifier's weights, or all but a
    head of other classes from those of its own kind. Weights of other libraries may need another
    padding, epsilon or stem: the spec that comes back says so. `input_range` is what they take
    pixels as, where nothing says so.
    """
    if weights is None:
        return spec, build(spec, dropout=dropout)
    if spec.backbone is not spec and (layers := dense.read(weights)) is not None:
        model = build(spec, dropout=dropout)
        of_classes = [op.name for op in operators(spec) if op.role == "logits"]
        dense.assign(model, layers, weights, of_classes)
        return spec, model
    found = weight_files.read(weights, spec.backbone, input_range)
    spec = spec.with_backbone(found.spec)
    model = build(spec, dropout=dropout)
    weight_files.assign(model, found)
    return spec, model


def create_model(
    model: str = "large",
    width: float = 1.0,
    resolution: int | None = None,
    num_classes: int | None = None,
    weights: str | None = None,
    dropout: float = 0.0,
    input_range: InputRange | None = None,
) -> tf_keras.Model:
    """A MobileNetV3 (or V2, V4, MnasNet-A1) classifier.

    Args:
      model: a name of `mnv3_tf.networks.named.NETWORKS`, or the path of a spec JSON.
      width: width multiplier, 0.35 to 1.25 in the paper.
      resolution: side of the square input in pixels; None is the spec's (224).
      num_classes: number of logits; None is the spec's (1000).
      weights: None, "imagenet", a file in any format of `mnv3_tf.weights`, or a run folder.
      dropout: rate before the logits while training.
      input_range: what the weights take pixels as, where neither the file nor its library says so:
        "0..255", "0..1", "-1..1" or "imagenet". The model takes [-1, 1] all the same.

    Returns:
      A `tf_keras.Model` from RGB float32 in [-1, 1], (N, H, W, 3), to logits (N, num_classes).

    Raises:
      UserError: an unknown name, a value out of range, or weights of another architecture.
    """
    spec = resolve(model, width, resolution, num_classes)
    return load_model(spec, weights, dropout, input_range)[1]
