"""Kernels and biases with BatchNorm folded in, in an .npz."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mnv3_tf.weights.names import ConvNames


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Arrays by "layer/kernel" and "layer/bias", layers named as ours; pickles are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def unfold(
    arrays: dict[str, np.ndarray], convs: Iterable[ConvNames], epsilon: float
) -> dict[str, np.ndarray]:
    """The same with BatchNorm layers that only add the bias."""
    unfolded = dict(arrays)
    for conv in convs:
        if conv.batch_norm and f"{conv.name}/bias" in unfolded:
            bias = unfolded.pop(f"{conv.name}/bias")
            unfolded |= {
                f"{conv.name}_bn/gamma": np.ones_like(bias),
                f"{conv.name}_bn/beta": bias,
                f"{conv.name}_bn/moving_mean": np.zeros_like(bias),
                f"{conv.name}_bn/moving_variance": np.full_like(bias, 1 - epsilon),
            }
    return unfolded
