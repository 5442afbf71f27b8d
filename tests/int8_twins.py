"""The tiny classifier in int8: the file, and the Keras networks that it is the twin of."""

import json
from pathlib import Path
from typing import Any

from artefacts import Artefacts
from making import load_network, network, pictures

from mnv3_tf.networks.activations import Lowering


def int8_file(made: Artefacts, folder: Path, lowering: Lowering) -> None:
    """m.tflite, which takes bytes, and the ranges.json of its layers."""
    from mnv3_tf.export.convert import convert
    from mnv3_tf.quantization.calibration import calibrate
    from mnv3_tf.quantization.scheme import fake_quantized

    lowered = _lowered(made, lowering)
    ranges = calibrate(lowered, pictures("classify", 16))
    content = convert(fake_quantized(lowered, ranges), "int8", "uint8")
    (folder / "m.tflite").write_bytes(content)
    (folder / "ranges.json").write_text(json.dumps(ranges))


def twins(made: Artefacts, lowering: Lowering) -> tuple[Any, Any, Path]:
    """The network in float and fake-quantised, and the path of the file."""
    from mnv3_tf.quantization.scheme import fake_quantized

    folder = made(int8_file, lowering)
    ranges = {k: tuple(v) for k, v in json.loads((folder / "ranges.json").read_text()).items()}
    lowered = _lowered(made, lowering)
    return lowered, fake_quantized(lowered, ranges), folder / "m.tflite"


def _lowered(made: Artefacts, lowering: Lowering) -> Any:
    from mnv3_tf.quantization.lowering import lowered_model

    spec, model = load_network(made(network, "classify"))
    return lowered_model(spec, model, lowering)
