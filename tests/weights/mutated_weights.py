"""Weights files that are damaged, or make no sense."""

import io
import json
import os
import signal
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras_models as made
import numpy as np
import tf_keras
from random_layers import as_stored, random_layers
from safetensors.numpy import save

from mnv3_tf.weights import keras_files

SPEC = made.SPEC
Arrays = Mapping[str, np.ndarray]


def whole_files(folder: Path) -> list[tuple[str, bytes]]:
    """Each with its suffix: what Keras writes in three ways, a state dict, archives."""
    layers = tf_keras.layers
    image = layers.Input((32, 32, 3))
    features = made.backbone(tf_keras)(layers.Rescaling(1 / 255)(image))
    model = tf_keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(features)))
    forms = (".h5", ".keras", ".weights.h5")
    keras = [(form, Path(made.saved(model, folder, form)).read_bytes()) for form in forms]
    written = [(suffix, write(arrays_of(suffix))) for suffix, write in WRITERS.items()]
    return [*keras, *written]


def arrays_of(suffix: str) -> dict[str, np.ndarray]:
    library = {".safetensors": "timm", ".npz": "keras", ".h5": made.V3}[suffix]
    return as_stored(library, SPEC, random_layers(SPEC))


def _npz(arrays: Arrays) -> bytes:
    memory = io.BytesIO()
    np.savez(memory, **arrays)  # type: ignore[arg-type]
    return memory.getvalue()


def _h5(arrays: Arrays) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        names: dict[str, list[str]] = {}
        for name, value in arrays.items():
            layer = name.rpartition("/")[0] or "none"
            names.setdefault(layer, []).append(name)
            file.require_group(layer)[name] = (
                value.astype("S9") if value.dtype.kind == "U" else value
            )
        file.attrs["layer_names"] = list(names)
        for layer, variables in names.items():
            file[layer].attrs["weight_names"] = variables
    return memory.getvalue()


def _safetensors(arrays: Arrays) -> bytes:
    return save({k: np.ascontiguousarray(v) for k, v in arrays.items() if v.dtype.kind in "fiu"})


WRITERS: dict[str, Callable[[Arrays], bytes]] = {
    ".npz": _npz,
    ".h5": _h5,
    ".safetensors": _safetensors,
}


# -- mutations -------------------------------------------------------------------------------


def mutated(sources: list[tuple[str, bytes]], rng: np.random.Generator) -> tuple[str, bytes]:
    """A file's suffix and content."""
    if rng.random() < 0.3:
        suffix = str(rng.choice([*WRITERS]))
        return suffix, WRITERS[suffix](_of_other_sense(arrays_of(suffix), rng))
    suffix, content = sources[rng.integers(len(sources))]
    if suffix == ".keras" and rng.random() < 0.5:
        return suffix, _config_changed(content, rng)
    if suffix == ".safetensors" and rng.random() < 0.5:
        return suffix, _header_changed(content, rng)
    return suffix, MUTATIONS[rng.integers(len(MUTATIONS))](content, rng)


def _bytes_changed(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    # Where the tables of a file are, at its beginning or end, as often as anywhere.
    first, last = [(0, 4096), (-4096, len(content)), (0, len(content))][rng.integers(3)]
    places = range(len(content))[first:last]
    for _ in range(rng.integers(1, 9)):
        changed[places[rng.integers(len(places))]] = rng.integers(256)
    return bytes(changed)


def _numbers_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Whole numbers of 32 bits, which lengths and offsets are."""
    changed = np.frombuffer(content[: len(content) // 4 * 4], "<i4").copy()
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(len(changed))] += rng.choice([-1, 1, 4, 256, -(2**20)])
    return changed.tobytes()


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def _part_moved(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = sorted(rng.integers(0, len(content), 2))
    return content[:start] + content[end:] + content[start:end]


MUTATIONS = (_bytes_changed, _numbers_changed, _cut, _part_moved)


CHANGES: tuple[Callable[[str, np.ndarray], Arrays], ...] = (
    lambda name, value: {},
    lambda name, value: {f"module.{name}": value},
    lambda name, value: {name: value.T},
    lambda name, value: {name: value[:0]},
    lambda name, value: {name: value[..., :-1]},
    lambda name, value: {name: value.ravel()},
    lambda name, value: {name: np.array(3, np.float32)},
    lambda name, value: {name: np.full_like(value, np.nan)},
    lambda name, value: {name: value.astype(np.int8)},
    lambda name, value: {name: value.astype("U9")},
    lambda name, value: {name: value.astype(np.complex64)},
    lambda name, value: {name: value, f"x/{name}": value, f"x.{name}": value},
    lambda name, value: {name: value, "dense/kernel": np.ones((3, 5)), "fc.weight": value[:0]},
)
"""What stands in the place of an array."""


def _of_other_sense(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> Arrays:
    for _ in range(rng.integers(1, 4)):
        name = str(rng.choice([*arrays]))
        arrays |= CHANGES[rng.integers(len(CHANGES))](name, arrays.pop(name))
    return arrays


def _config_changed(content: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = _json_changed(members["config.json"], rng)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return memory.getvalue()


def _header_changed(content: bytes, rng: np.random.Generator) -> bytes:
    length = struct.unpack("<Q", content[:8])[0]
    header = _json_changed(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


OTHERS: tuple[Any, ...] = (None, True, 0, -1, 2**40, 1e300, "", "F32", "Lambda", [], [3], {"a": 1})


def _json_changed(text: bytes, rng: np.random.Generator) -> bytes:
    tree = json.loads(text)
    for _ in range(rng.integers(1, 4)):
        node: Any = tree
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = keys[rng.integers(len(keys))]
            inside = node[key]
            if not (isinstance(inside, dict | list) and inside) or rng.random() < 0.1:
                others = (
                    None,
                    0,
                    -1,
                    2**40,
                    1e300,
                    "",
                    "F32",
                    "Lambda",
                    [],
                    [3],
                    {},
                    {"a": 1},
                    True,
                )
                node[key] = others[rng.integers(len(others))]
                break
            node = inside
    return json.dumps(tree).encode()


# -- reading HDF5 ----------------------------------------------------------------------------


def try_out_by_fork(path: Path) -> str | None:
    """`keras_files.try_out` at a hundredth of its cost."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(5)
        try:
            keras_files._main(path)
        except BaseException as error:
            os.write(write, repr(error)[:2000].encode(errors="replace"))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, errors="replace") as printed:
        said = " ".join(printed.read().split())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "reading it crashes" if status else said or None
