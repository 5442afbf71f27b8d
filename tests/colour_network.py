"""A network whose classes need no training, and pictures of them."""

from pathlib import Path

import numpy as np
from artefacts import Artefacts


def colour_network():
    """A classifier of mean colour (red, green or blue), with weights that need no training."""
    import tf_keras

    inputs = tf_keras.Input((32, 32, 3), batch_size=1)
    x = tf_keras.layers.Conv2D(4, 3, 2, "same", activation="relu6", name="conv")(inputs)
    x = tf_keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = tf_keras.layers.Conv2D(3, 1, name="logits")(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Flatten()(x))
    kernel = np.zeros((3, 3, 3, 4), np.float32)
    kernel[1, 1, range(3), range(3)] = 1.0
    model.get_layer("conv").set_weights([kernel, np.ones(4, np.float32)])
    head = np.zeros((1, 1, 4, 3), np.float32)
    head[0, 0, range(3), range(3)] = 2.0
    model.get_layer("logits").set_weights([head, np.zeros(3, np.float32)])
    return model


def colour_pictures(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures as bytes (N, 32, 32, 3), and which channel is the strongest in each."""
    rng = np.random.default_rng(3)
    labels = np.arange(count) % 3
    pictures = rng.integers(0, 120, (count, 32, 32, 3))
    pictures[np.arange(count), :, :, labels] += rng.integers(60, 120, (count, 32, 32))
    return pictures.astype(np.uint8), labels


def colour_files(made: Artefacts, folder: Path) -> None:
    """float.tflite; and uint8.tflite, by TensorFlow's own quantisation."""
    from mnv3_tf.export.convert import convert

    network = colour_network()
    (folder / "float.tflite").write_bytes(convert(network, "none", output="logits"))
    (folder / "uint8.tflite").write_bytes(_convert_uint8(network))


def _convert_uint8(model) -> bytes:
    import tensorflow as tf

    pictures = colour_pictures(24)[0].astype(np.float32) / 127.5 - 1
    # The extremes make the input's scale 1/127.5, so that bytes go straight in.
    pictures[0, 0, 0], pictures[0, 0, 1] = -1, 1
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture[np.newaxis]] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()
