"""Networks with random weights and random BatchNorm statistics, so that every mix-up shows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def randomise(model: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    values = []
    for variable in model.weights:
        name, shape = variable.name.rpartition("/")[2], tuple(variable.shape)
        if "kernel" in name:
            fan_in = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:3])
            values.append(rng.normal(0, np.sqrt(2 / fan_in), shape))
        elif "gamma" in name or "variance" in name:
            values.append(rng.uniform(0.5, 1.5, shape))
        else:
            values.append(rng.normal(0, 0.3, shape))
    model.set_weights(values)
    return model


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Any]:
    """`create_model(...)` with random weights."""
    from mnv3_tf import create_model

    def make(model: str, seed: int = 0, **arguments: Any) -> Any:
        return randomise(create_model(model, **arguments), seed)

    return make


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
