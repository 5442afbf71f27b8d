"""Networks with random weights and random BatchNorm statistics, so that every mix-up shows."""

from typing import Any

import numpy as np


def randomise(model: Any, seed: int = 0) -> Any:
    """Sets every variable of a Keras model to noise of a size that neither grows nor vanishes."""
    rng = np.random.default_rng(seed)
    values = []
    for variable in model.weights:
        name, shape = variable.name.rpartition("/")[2], tuple(variable.shape)
        if "kernel" in name:
            fan_in = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])
            values.append(rng.normal(0, np.sqrt(2 / fan_in), shape))
        elif "gamma" in name or "variance" in name:
            values.append(rng.uniform(0.5, 1.5, shape))
        else:
            values.append(rng.normal(0, 0.3, shape))
    model.set_weights(values)
    return model


def settle(model: Any, images: np.ndarray) -> Any:
    """Sets the BatchNorm statistics of a tf_keras model to those of `images`.

    With them a random network is as lively as a trained one in all of its layers.
    """
    import tf_keras

    norms = [
        layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)
    ]
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    return model


def noise(count: int, side: int, seed: int = 1) -> np.ndarray:
    """Pictures in [-1, 1]: noise on a random gradient, so that they are not all alike."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-1, 1, (count, 2, 2, 3))
    ramp = np.linspace(0, 1, side)
    weights = np.stack([1 - ramp, ramp], -1)
    ground = np.einsum("yi,xj,nijc->nyxc", weights, weights, corners)
    return np.clip(ground + rng.normal(0, 0.3, ground.shape), -1, 1).astype(np.float32)


def relative_error(expected: Any, found: Any) -> float:
    """Largest difference in units of the largest expected value."""
    expected = np.asarray(expected)
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())
