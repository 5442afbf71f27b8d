"""Keras weights: .h5 (legacy), .weights.h5, and .keras. Only arrays are read, never a model."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def read_h5(file: Any) -> dict[str, np.ndarray]:
    """Arrays of an open or named HDF5 file.

    Legacy files give "layer/variable" ("Conv/BatchNorm/gamma", "conv/kernel"). The others give
    "group/number" ("batch_normalization_3/0"): they number layers within their class, and
    variables within the layer.
    """
    with h5py.File(file, "r") as root:
        weights = root.get("model_weights", root)
        return _legacy(weights) if "layer_names" in weights.attrs else _numbered(weights)


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a .keras archive."""
    with zipfile.ZipFile(path) as archive:
        return read_h5(io.BytesIO(archive.read("model.weights.h5")))


def _legacy(weights: h5py.Group) -> dict[str, np.ndarray]:
    arrays = {}
    for layer in weights.attrs["layer_names"]:
        layer = _text(layer)
        for name in weights[layer].attrs["weight_names"]:
            # "expanded_conv/depthwise/depthwise_kernel:0" of tf_keras, ".../kernel" of Keras 3.
            variable = _text(name).rpartition("/")[2].removesuffix(":0")
            variable = variable.removeprefix("depthwise_")
            arrays[f"{layer}/{variable}"] = np.asarray(weights[layer][_text(name)])
    return arrays


def _numbered(weights: h5py.Group) -> dict[str, np.ndarray]:
    arrays = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        place = re.fullmatch(r"layers/(.+)/vars/(\d+)", name)
        if place and isinstance(item, h5py.Dataset):
            arrays[f"{place[1]}/{place[2]}"] = np.asarray(item)

    weights.visititems(visit)
    return arrays


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
