"""A lowered Keras model becomes the bytes of a .tflite."""

import contextlib
import io
from typing import Any, Literal

import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

Quantize = Literal["none", "float16", "dynamic", "int8"]
InputType = Literal["uint8", "int8", "float32"]
Output = Literal["probabilities", "logits", "detections", "raw", "scores", "classes"]
OUTPUTS: dict[str, tuple[Output, ...]] = {
    "classify": ("probabilities", "logits"),
    "detect": ("detections", "raw"),
    "segment": ("scores", "classes"),
}
"""By task, what a file may give; the first is what it gives if not told."""

UNIT_RANGE = (0.0, 255 / 256)
"""TFLite's int8 SOFTMAX and LOGISTIC have steps of 1/256, and no others."""


def convert(
    model: tf_keras.Model,
    quantize: Quantize,
    input_type: InputType = "float32",
    output: Output = "probabilities",
    scores: str = "sigmoid",
) -> bytes:
    """Converts for a batch of 1.

    "probabilities" and "logits" are a classifier's, (1, classes). "raw" and "detections" are both
    box codes (1, A, 4) and scores (1, A, 1 + classes), in an order of the converter's, whose boxes
    `post_process` finds; `scores` is that of `DetectorSpec`. "scores" are a segmentation network's
    logits (1, H, W, classes), "classes" their arg-max, int32 (1, H, W).

    For int8, `model` carries its ranges in fake-quant nodes (`quantization.scheme`), and the
    output is stored as the input is. TensorFlow's own calibrator is never called: it gives a
    tensor that an ADD or MUL reads last the range of that operator's output.
    """
    is_int8 = quantize == "int8"

    def in_unit_range(values: Any) -> Any:
        if is_int8:
            return tf.quantization.fake_quant_with_min_max_args(values, *UNIT_RANGE)
        return values

    # A dynamic batch would leave SHAPE and STRIDED_SLICE operators in the graph.
    @tf.function(
        input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), name="image")], autograph=False
    )
    def answer(image: Any) -> Any:
        given = model(image, training=False)
        match output:
            case "probabilities":
                return in_unit_range(tf.nn.softmax(given))
            case "detections" | "raw":
                codes, logits = given
                made = tf.sigmoid(logits) if scores == "sigmoid" else tf.nn.softmax(logits)
                return codes, in_unit_range(made)
            case "classes":
                return tf.argmax(given, -1, tf.int32)
        return given

    # Constants already: saving and loading variables on the way takes most of a conversion. The
    # empty module makes the converter keep the function's signature.
    constant = convert_variables_to_constants_v2(answer.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([constant], tf.Module())
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        converter.inference_input_type = tf.as_dtype(input_type)
        if output != "classes":  # they are whole numbers already
            converter.inference_output_type = converter.inference_input_type
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it saves its copy
        return bytes(converter.convert())
