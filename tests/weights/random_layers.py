"""Weights of a network as `weights.read` gives them, without building it."""

import numpy as np

from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.weights.layer_arrays import LayerArrays
from mnv3_tf.weights.names import LIBRARIES, NORM, convolutions


def random_layers(spec: NetworkSpec, seed: int = 0) -> LayerArrays:
    rng = np.random.default_rng(seed)

    def values(*shape: int) -> np.ndarray:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    found: LayerArrays = {}
    for conv in convolutions(spec):
        outputs = conv.outputs
        found[conv.name] = {"kernel": values(*conv.kernel)}
        if conv.batch_norm:
            found[f"{conv.name}_bn"] = {variable: values(outputs) for variable in NORM}
        else:
            found[conv.name]["bias"] = values(outputs)
    return found


def check_same(found: LayerArrays, expected: LayerArrays) -> None:
    assert set(found) == set(expected)
    for layer, variables in expected.items():
        assert set(found[layer]) == set(variables)
        for variable, value in variables.items():
            assert found[layer][variable].dtype == np.float32
            np.testing.assert_array_equal(found[layer][variable], value, err_msg=layer)


def as_stored(library: str, spec: NetworkSpec, layers: LayerArrays) -> dict[str, np.ndarray]:
    """The layers under the names of a library, a key of `LIBRARIES`, and in its layout."""
    theirs, tensors = LIBRARIES[library], {}
    stages = [f"blocks.{stage}.0.bn1.weight" for stage in range(len(spec.blocks) + 1)]
    for layer, variables in theirs.tensors(spec, stages).items():
        for variable, name in variables.items():
            value = layers[layer][variable]
            if variable == "kernel" and theirs.layout == "torch":
                order = (2, 3, 0, 1) if layer.endswith("_depthwise") else (3, 2, 0, 1)
                value = value.transpose(order)
            if layer == "logits" and variable == "kernel" and library != "slim":
                value = value.squeeze()  # of a dense layer
            tensors[name] = np.ascontiguousarray(value)
    return tensors
