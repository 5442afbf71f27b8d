"""Weights into a Keras model and out of it, by the names of layers and variables."""

import tf_keras

from mnv3_tf.weights.layer_arrays import LayerArrays, LayerWeights


def assign_layers(model: tf_keras.Model, layers: LayerWeights) -> None:
    """Sets variables of `model`; those that `layers` does not name stay as they are.

    Raises ValueError for a layer or variable that the model lacks, or has in another shape.
    """
    for name, values in layers.items():
        variables = _variables(model.get_layer(name))
        for variable, value in values.items():
            if variable not in variables or tuple(variables[variable].shape) != value.shape:
                shapes = {key: tuple(found.shape) for key, found in variables.items()}
                raise ValueError(
                    f"Layer {name} of {model.name} has {shapes}, not {variable} of {value.shape}"
                )
            variables[variable].assign(value)


def collect(model: tf_keras.Model) -> LayerArrays:
    """All layers that have weights: what `assign_layers` takes."""
    return {
        layer.name: {key: variable.numpy() for key, variable in _variables(layer).items()}
        for layer in model.layers
        if layer.weights
    }


def _variables(layer: tf_keras.layers.Layer) -> dict[str, tf_keras.backend.variable]:
    names = (v.name.rpartition("/")[2].partition(":")[0] for v in layer.weights)
    short = (name.removeprefix("depthwise_") for name in names)
    return dict(zip(short, layer.weights, strict=True))
