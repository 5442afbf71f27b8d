"""A colour that counts as zero."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras


@tf_keras.utils.register_keras_serializable("mnv3_tf")
class Shift(tf_keras.layers.Layer):
    """(N, H, W, C) less `zero`, (C,): one SUB in TFLite."""

    def __init__(self, zero: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.zero = tuple(zero)

    def call(self, inputs: Any) -> Any:
        return inputs - np.array(self.zero, np.float32)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"zero": self.zero}
