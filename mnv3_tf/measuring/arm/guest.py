"""What runs inside the emulator: loads each .tflite and marks one inference for the plug-in.

    python3 guest.py      {"paths": [...], "delegate": true, "input_shape": null} on standard input

A line of JSON for each path says why it did not run, or null. The counts are the plug-in's: first
those of nothing, which is what marking costs, then one for each path that ran. Nothing but the
runtime and NumPy is there to be imported.
"""

import ctypes
import gc
import json
import sys
from typing import Any

import numpy as np

BEGIN, END = ctypes.c_int(0x5A00), ctypes.c_int(0x5A01)
"""As counter.c has them."""


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    asked = json.load(sys.stdin)
    kinds = OpResolverType
    kind = kinds.AUTO if asked["delegate"] else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    mark = ctypes.CDLL(None).getpriority
    gc.disable()

    def count(work: Any) -> None:
        mark(BEGIN, 0)
        work()
        mark(END, 0)

    for _ in range(2):  # the first of all is dearer
        count(lambda: None)
    for path in asked["paths"]:
        error = None
        try:
            network = Interpreter(path, num_threads=1, experimental_op_resolver_type=kind)
            prepare(network, asked["input_shape"])
            invoke = network._interpreter.Invoke  # without the checks that Python adds
            invoke()  # the first reshapes
            count(invoke)
        except Exception as raised:
            error = " ".join(str(raised).split())
        print(json.dumps(error), flush=True)


def prepare(network: Any, input_shape: list[int] | None) -> None:
    """All inputs are zeros."""
    if input_shape:
        network.resize_tensor_input(network.get_input_details()[0]["index"], input_shape)
    network.allocate_tensors()
    for given in network.get_input_details():
        network.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))


if __name__ == "__main__":
    main()
