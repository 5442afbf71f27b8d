"""What weights are between files and models: float32 arrays by layer and variable.

Variables are kernel, bias, gamma, beta, moving_mean and moving_variance; the kernel of a depthwise
convolution is (k, k, channels, 1), all others are in Keras' layout.
"""

from collections.abc import Mapping

import numpy as np

LayerWeights = Mapping[str, Mapping[str, np.ndarray]]
"""{layer: {variable: array}}, to read."""

LayerArrays = dict[str, dict[str, np.ndarray]]
"""The same, to change: what a reader gives."""
