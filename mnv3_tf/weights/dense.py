"""Weights of whole detectors and segmentation networks, as `train.py` writes them.

Those of classifiers, ours and others', are the importer's: it gives a backbone to any task.
"""

import sys
from collections.abc import Collection, Iterable
from pathlib import Path

import h5py
import tf_keras

from mnv3_tf.errors import UserError
from mnv3_tf.networks.graph import Convolution, Operator
from mnv3_tf.weights import keras_files
from mnv3_tf.weights.formats import file_of
from mnv3_tf.weights.layer_arrays import LayerArrays
from mnv3_tf.weights.network import assign_layers, collect

HEAD_LAYERS = ("box_0", "aspp")
"""A layer that every detector has, and one of every segmentation network."""


def read(path: str | Path) -> LayerArrays | None:
    """Arrays by layer and variable of a file or run folder; None for anything else."""
    path = file_of(path)
    if not (path.is_file() and h5py.is_hdf5(path)):
        return None
    try:
        arrays = keras_files.read(Path(path)).arrays
    except ValueError:
        return None
    layers: LayerArrays = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition("/")
        layers.setdefault(layer, {})[variable] = array
    return layers if any(layer in layers for layer in HEAD_LAYERS) else None


def fitting(operators: Iterable[Operator], layers: LayerArrays) -> int:
    """How many of a network's convolutions have their kernel among the layers."""
    convolutions = [one for one in operators if isinstance(one, Convolution)]
    shapes = {name: found["kernel"].shape for name, found in layers.items() if "kernel" in found}
    return sum(shapes.get(one.name) == one.kernel_shape for one in convolutions)


def assign(
    model: tf_keras.Model, layers: LayerArrays, source: str, optional: Collection[str] = ()
) -> None:
    """Sets the layers of a detector or a segmentation network.

    Of the `optional` layers those that the file lacks or has in another shape, for other classes,
    are left fresh, which standard error is told.

    Raises UserError where a layer is missing or of another shape.
    """
    fresh = []
    fitting: LayerArrays = {}
    for layer, variables in collect(model).items():
        found = layers.get(layer, {})
        shapes = {name: array.shape for name, array in found.items()}
        if shapes == {name: array.shape for name, array in variables.items()}:
            fitting[layer] = found
        elif layer not in optional:
            raise UserError(
                f"{source} does not hold the weights of {model.name}: layer {layer} has "
                f"{shapes or 'none'}; give the best.weights.h5 of a run and the flags of that run."
            )
        else:
            fresh.append(layer)
    if fresh:
        print(
            f"{source}: {', '.join(fresh)} are of other classes, so fresh ones are used.",
            file=sys.stderr,
        )
    assign_layers(model, fitting)
