"""Fixtures for every test."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_network import randomise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and released weights, beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the photographs and weights of {folder}, which is absent")
    return folder


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
