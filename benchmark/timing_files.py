"""Networks as .tflite files for timing alone: random weights, made in seconds.

Time does not depend on the weights, so nothing is tuned or judged. The operators are those of
what `export_tflite.py` writes, but for the second stem gate that some trained networks get in
int8, and for int8's input, which is int8 here: a camera's bytes cost one more operator.
"""

from pathlib import Path

from mnv3_tf.files import atomic_write
from mnv3_tf.spec import NetworkSpec

LOWERINGS = {"none": "fused", "int8": "composite"}
"""Of h-swish, which is fastest in float and in int8 under XNNPACK."""

PICTURES = 8


def file_path(spec: NetworkSpec, label: str, quantize: str, folder: Path) -> Path:
    """Two networks never share a path, whatever they are called."""
    return folder / spec.hash / f"{label}_{'float' if quantize == 'none' else quantize}.tflite"


def made(spec: NetworkSpec, label: str, quantize: str, folder: Path) -> Path:
    """The file of a network, made unless it is there. `quantize` is "none" or "int8"."""
    path = file_path(spec, label, quantize, folder)
    if not path.is_file():
        content = timing_file(spec, quantize)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    return path


def timing_file(spec: NetworkSpec, quantize: str) -> bytes:
    from benchmark.settled import noise_pictures, settled_classifier
    from mnv3_tf.export.convert import convert
    from mnv3_tf.export.lowering import lowered_classifier
    from mnv3_tf.quantization.calibration import calibrate
    from mnv3_tf.quantization.scheme import fake_quantized

    pictures = noise_pictures(spec.resolution, PICTURES)
    lowering = LOWERINGS[quantize]
    model = lowered_classifier(spec, settled_classifier(spec, pictures), lowering)  # type: ignore[arg-type]
    if quantize == "none":
        return convert(model, "none")
    return convert(fake_quantized(model, calibrate(model, pictures)), "int8", input_type="int8")
