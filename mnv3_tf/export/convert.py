"""A lowered Keras model becomes the bytes of a .tflite."""

import contextlib
import io
from typing import Any, Literal

import tensorflow as tf
import tf_keras

Quantize = Literal["none", "float16", "dynamic", "int8"]
InputType = Literal["uint8", "int8", "float32"]
Output = Literal["probabilities", "logits"]


def convert(
    model: tf_keras.Model,
    quantize: Quantize,
    input_type: InputType = "float32",
    output: Output = "probabilities",
) -> bytes:
    """Converts for a batch of 1.

    For int8, `model` carries its ranges in fake-quant nodes (`quantization.scheme`), and the
    output is stored as the input is. TensorFlow's own calibrator is never called: it gives a
    tensor that an ADD or MUL reads last the range of that operator's output.
    """
    is_int8 = quantize == "int8"

    # A dynamic batch would leave SHAPE and STRIDED_SLICE operators in the graph.
    @tf.function(input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), name="image")])
    def classify(image: Any) -> Any:
        logits = model(image, training=False)
        if output == "logits":
            return logits
        probabilities = tf.nn.softmax(logits)
        if is_int8:
            # TFLite's int8 SOFTMAX has steps of 1/256, and no others.
            return tf.quantization.fake_quant_with_min_max_args(probabilities, 0.0, 255 / 256)
        return probabilities

    # The variables alone are handed over: with the Keras model TensorFlow would trace every
    # wrapped layer once more, which takes a minute.
    holder = tf.Module()
    holder.kept = model.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [classify.get_concrete_function()], holder
    )
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        stored = tf.as_dtype(input_type)
        converter.inference_input_type = converter.inference_output_type = stored
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it saves its copy
        return bytes(converter.convert())
