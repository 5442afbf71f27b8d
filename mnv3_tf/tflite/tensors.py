"""The tensors inside a .tflite by the layers that they are the outputs of, and their values.

The converter keeps the names of Keras layers: "small/quant_conv/BiasAdd;small/quant_conv/Conv2D"
is the output of the layer `conv`. Other writers nest their scopes: slim's
"MobilenetV3/expanded_conv_1/project/add_fold" is that of `expanded_conv_1_project`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnv3_tf.tflite.model_graph import read_graph
from mnv3_tf.tflite.outputs import maker_of, output_number
from mnv3_tf.tflite.picture_input import picture_input
from mnv3_tf.tflite.reading import AS_IT_SAYS, Reading
from mnv3_tf.tflite.runtime import TensorInfo, open_interpreter, resize_input, tensor_info

KEEP_VALUES = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE")
"""Operators that only store the same values in another way."""


@dataclass(frozen=True)
class LayerTensor:
    """The output of a layer; `op` makes it. `aliases` are further names it may go by elsewhere."""

    name: str
    op: str
    index: int
    info: TensorInfo
    aliases: tuple[str, ...] = ()


class LayerTensors:
    """A .tflite on TFLite's built-in kernels, for a delegate does not show what is inside it.

    `layers` are in running order: of a layer that became several operators, the last. `picture` is
    what the file takes; `output` is the one that `reading` names, or the first; `last_op` made it,
    reshaping and conversions aside.

    Raises UserError for a file that takes no single picture, or has no output of that name.
    """

    def __init__(self, path: str | Path, reading: Reading = AS_IT_SAYS) -> None:
        self.path = Path(path)
        self._interpreter = open_interpreter(path, delegate=False, keep_tensors=True)
        resize_input(self._interpreter, reading.input_shape)
        self._interpreter.allocate_tensors()
        details = {tensor["index"]: tensor for tensor in self._interpreter.get_tensor_details()}
        operators = self._interpreter._get_ops_details()
        self._read_by = {int(i): op["inputs"] for op in operators for i in op["outputs"]}
        content = self.path.read_bytes()
        graph = read_graph(content)
        self._image = self._interpreter.get_input_details()[0]
        shape = tuple(int(side) for side in self._image["shape"])
        graph = graph.resized({int(self._image["index"]): shape})
        self.picture = picture_input(path, graph, content, reading)
        self._answer = graph.outputs[output_number(graph, reading.output_name, path)]
        self.output = tensor_info(details[self._answer])
        maker = maker_of(graph, self._answer)
        self.last_op = maker.op if maker else ""
        layers: dict[str, LayerTensor] = {}
        for operator in operators:
            if operator["op_name"] == "DEQUANTIZE":
                continue  # float16 kernels, which have names of layers too
            for index in map(int, operator["outputs"]):
                name, *aliases = layer_names(details[index]["name"])
                layers.pop(name, None)
                info = tensor_info(details[index])
                layers[name] = LayerTensor(name, operator["op_name"], index, info, tuple(aliases))
        layers.pop("", None)
        self.layers = list(layers.values())

    def run(self, image: np.ndarray) -> np.ndarray:
        """One picture (H, W, 3) in [-1, 1]; returns the real values of the output, flat."""
        stored = self.picture.stored(np.asarray(image, np.float32))
        self._interpreter.set_tensor(self._image["index"], stored)
        self._interpreter.invoke()
        answer = self._interpreter.get_tensor(self._answer)
        return self.output.dequantize(answer).reshape(-1)

    def stored(self, layer: LayerTensor) -> np.ndarray:
        """The layer's tensor as the last `run` left it."""
        return np.asarray(self._interpreter.get_tensor(layer.index))

    def value(self, layer: LayerTensor) -> np.ndarray:
        """The same in real numbers."""
        return layer.info.dequantize(self.stored(layer))

    def sources(self, layer: LayerTensor, among: Collection[int]) -> set[int]:
        """Indices of the nearest tensors before a layer's that are `among` those given."""
        nearest, seen = set[int](), set[int]()
        waiting = [int(i) for i in self._read_by.get(layer.index, ())]
        while waiting:
            index = waiting.pop()
            if index in among:
                nearest.add(index)
            elif index not in seen:
                seen.add(index)
                waiting.extend(int(i) for i in self._read_by.get(index, ()))
        return nearest


def layer_names(tensor_name: str) -> list[str]:
    """The names of the layer that a tensor may be the output of, the likeliest first.

    "m/quant_a_relu/Relu;m/quant_a/BiasAdd" -> ["a_relu", "a_relu_relu", "a"]. The first is ""
    if the name has no scope, such as "StatefulPartitionedCall:0".
    """
    names: list[str] = []
    for piece in tensor_name.split(";"):
        parts = [part.removeprefix("quant_") for part in piece.split("/")]
        parts = [part for part in parts if not part.startswith("StatefulPartitionedCall")]
        # model/layer/operator; a model without a scope of its own leaves layer/operator.
        scopes = parts[1:-1] if len(parts) > 2 else parts[:-1]
        name = "_".join(scopes).lower()
        if not names:
            names = [name, f"{name}_{parts[-1].lower()}"] if name else [""]
        elif name and name not in names:
            names.append(name)
    return names


def counted(name: str, names: Collection[str], reference: np.ndarray) -> np.ndarray:
    """Where a layer's values matter: the mask is 0 where a h-swish that follows erases them.

    `names` are the layers of the network that `reference`, the layer's true values, comes from.
    Calibration clips what a h-swish erases on purpose. Of an equalised layer, which has a gate
    of its own, every value counts.
    """
    if f"{name}_hard_swish" not in names or f"{name}_gate_relu6" in names:
        return np.ones((), np.float32)
    return (reference > -3).astype(np.float32)
