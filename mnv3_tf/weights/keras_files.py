"""Keras weights: .h5 (legacy), .weights.h5, and .keras. Only arrays are read, never a model.

A damaged file can crash the HDF5 library, or keep it busy for ever. So a process of its own, which
runs this file as a program and takes 0.15 s, reads it first; nothing but h5py is imported here.
"""

import contextlib
import io
import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SECONDS = 60
"""For a file that is read in a fraction of one."""
MEMORY = 2**31
"""Bytes beside eight times the file's own."""


@dataclass(frozen=True)
class KerasFile:
    """`config` is what a model that was saved whole says of itself, as JSON has it.

    `layers` are all the names in the file, those of layers without weights too.
    """

    arrays: dict[str, np.ndarray]
    layers: tuple[str, ...]
    config: Any = None


def read(path: Path) -> KerasFile:
    """A file of any of the kinds. Raises ValueError, with the reason, where it cannot be read."""
    try:
        failed = try_out(path)
    except subprocess.TimeoutExpired:
        failed = f"reading it takes more than {SECONDS} s"
    if failed:
        raise ValueError(failed)
    return _read_keras(path) if zipfile.is_zipfile(path) else _read_h5(path)


def try_out(path: Path) -> str | None:
    """Why a process of its own cannot read a file, in a few words; None where it can."""
    command = [sys.executable, "-P", __file__, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode < 0:
        return "reading it crashes"
    return (done.stderr.splitlines() or ["no reason given"])[-1] if done.returncode else None


def _read_h5(file: Any) -> KerasFile:
    """An open or named HDF5 file.

    Legacy files give "layer/variable" ("Conv/BatchNorm/gamma", "conv/kernel"). The others give
    "group/number" ("batch_normalization_3/0"): they number layers within their class, and
    variables within the layer; a model within the model is a group ("functional/layers/conv2d/0").
    """
    with h5py.File(file, "r") as root:
        weights = root.get("model_weights", root)
        config = root.attrs.get("model_config")
        config = None if config is None else json.loads(_text(config))
        legacy = "layer_names" in weights.attrs
        return KerasFile(*(_legacy(weights) if legacy else _numbered(weights)), config)


def _read_keras(path: Path) -> KerasFile:
    """A .keras archive."""
    with zipfile.ZipFile(path) as archive:
        stored = _read_h5(io.BytesIO(archive.read("model.weights.h5")))
        config = json.loads(archive.read("config.json"))
    return KerasFile(stored.arrays, stored.layers, config)


def _legacy(weights: h5py.Group) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    arrays: dict[str, np.ndarray] = {}
    groups = [_text(name) for name in weights.attrs["layer_names"]]
    for group in groups:
        names = [_text(name) for name in weights[group].attrs["weight_names"]]
        # A group with variables of several layers is of a model within the model.
        nested = len({name.rpartition("/")[0] for name in names}) > 1
        for name in names:
            # "expanded_conv/depthwise/depthwise_kernel:0" of tf_keras, ".../kernel" of Keras 3.
            inside, _, variable = name.rpartition("/")
            variable = variable.removesuffix(":0").removeprefix("depthwise_")
            layer = inside if nested else group
            if f"{layer}/{variable}" in arrays:
                layer = f"{group}/{inside}"
            arrays[f"{layer}/{variable}"] = np.asarray(weights[group][name])
    return arrays, tuple(groups)


def _numbered(weights: h5py.Group) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    arrays, layers = {}, []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        # Keras before 2.13 called the layers otherwise, and on Windows joined names by backslashes.
        path = name.replace("\\", "/").replace("_layer_checkpoint_dependencies/", "layers/")
        if place := re.fullmatch(r"layers/(.+)/vars(/\d+)?", path):
            if not place[2]:
                layers.append(place[1])
            elif isinstance(item, h5py.Dataset):
                arrays[place[1] + place[2]] = np.asarray(item)

    weights.visititems(visit)
    return arrays, tuple(layers)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _main(path: Path) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = MEMORY + 8 * path.stat().st_size
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    _read_keras(path) if zipfile.is_zipfile(path) else _read_h5(path)


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]))
    except Exception as error:
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
