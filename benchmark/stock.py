"""int8 as TensorFlow's own guide makes it, to compare with.

https://ai.google.dev/edge/litert/models/post_training_integer_quant: the trained Keras model,
`Optimize.DEFAULT`, a representative dataset, and integers at both ends.
"""

import contextlib
import io
import warnings

import numpy as np
import tensorflow as tf
import tf_keras


def convert_stock(
    model: tf_keras.Model, calibration: np.ndarray, output: str = "probabilities"
) -> bytes:
    """The .tflite of a trained classifier, int8 throughout, int8 in and out.

    Args:
      model: as it was trained, BatchNorm and all; gives logits.
      calibration: pictures (N, H, W, 3) in [-1, 1], all of which TensorFlow's calibrator sees.
      output: what the file answers.
    """
    if output == "probabilities":
        model = tf_keras.Model(model.inputs, tf_keras.layers.Softmax()(model.output))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[np.newaxis]] for picture in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    # It prints where it saves its copy, and warns that it calibrates.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        return bytes(converter.convert())
