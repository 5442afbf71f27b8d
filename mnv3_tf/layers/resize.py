"""Bilinear stretching as segmentation heads do it."""

from typing import Any

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable("mnv3_tf")
class Resize(tf_keras.layers.Layer):
    """(N, H, W, C) to (N, height, width, C), bilinear with the corners aligned as in DeepLab."""

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def call(self, inputs: Any) -> Any:
        size = (self.height, self.width)
        return tf.raw_ops.ResizeBilinear(images=inputs, size=size, align_corners=True)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"height": self.height, "width": self.width}
