"""A lowered Keras model becomes the bytes of a .tflite."""

import contextlib
import io
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from mnv3_tf.export.settings import InputType, Quantize
from mnv3_tf.tasks import TASKS, Spec

UNIT_RANGE = (0.0, 255 / 256)
"""TFLite's int8 SOFTMAX and LOGISTIC have steps of 1/256, and no others."""


def convert(
    model: tf_keras.Model,
    quantize: Quantize,
    input_type: InputType = "float32",
    output: str = "probabilities",
    spec: Spec | None = None,
) -> bytes:
    """Converts for a batch of 1.

    `output` is one of a task's `outputs`, and `Task.file_outputs` makes it of what the model gives;
    `spec` is the model's, which matters where that says how.

    For int8, `model` carries its ranges in fake-quant nodes (`quantization.scheme`), and real
    outputs are stored as the input is. TensorFlow's own calibrator is never called: it gives a
    tensor that an ADD or MUL reads last the range of that operator's output.
    """
    is_int8 = quantize == "int8"
    task = next(task for task in TASKS.values() if output in task.outputs)

    def in_unit_range(values: Any) -> Any:
        if is_int8:
            return tf.quantization.fake_quant_with_min_max_args(values, *UNIT_RANGE)
        return values

    # A dynamic batch would leave SHAPE and STRIDED_SLICE operators in the graph.
    @tf.function(
        input_signature=[tf.TensorSpec((1, *model.input_shape[1:]), name="image")], autograph=False
    )
    def answer(image: Any) -> Any:
        return task.file_outputs(model(image, training=False), output, in_unit_range, spec)

    # Constants already: saving and loading variables on the way takes most of a conversion. The
    # empty module makes the converter keep the function's signature.
    constant = convert_variables_to_constants_v2(answer.get_concrete_function())
    is_real = all(tensor.dtype.is_floating for tensor in constant.outputs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([constant], tf.Module())
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if is_int8:
        converter.inference_input_type = tf.as_dtype(input_type)
        if is_real:
            converter.inference_output_type = converter.inference_input_type
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where it saves its copy
        return bytes(converter.convert())
