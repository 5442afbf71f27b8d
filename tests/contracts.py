"""What must hold of every network, and of every file that is made of one, whatever the task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from random_network import noise, randomise, relative_error, settle

from mnv3_tf.models import build, load_model
from mnv3_tf.networks.activations import Lowering
from mnv3_tf.networks.cost import cost
from mnv3_tf.quantization.equalization import channel_gains
from mnv3_tf.quantization.lowering import lower_weights, lowered_model
from mnv3_tf.tasks.specs import Spec, from_json
from mnv3_tf.tflite import inspection, metadata
from mnv3_tf.tflite.runtime import TFLiteModel
from mnv3_tf.weights import assign_layers, collect

REPORT = {  # keys, and those of their parts
    "sha256": None,
    "bytes": None,
    "model": None,
    "task": None,
    "spec_hash": None,
    "quantize": None,
    "method": None,
    "hard_swish": None,
    "hard_swish_reason": None,
    "target": None,
    "input": {"dtype", "shape", "scale", "zero_point"},
    "output": {"dtype", "shape", "scale", "zero_point"},
    "ops": None,
    "float_islands": None,
    "xnnpack": {"nodes", "delegated", "partitions", "outside", "error"},
    "images": None,
    "top1": {"float", "exported"},
    "agreement": None,
    "simulation": None,
    "latency_ms": {"threads", "median", "p95"},
    "layers": None,
}


class Network:
    """A random network of a spec, as lively as a trained one, and pictures to ask it about."""

    def __init__(self, spec: Spec, count: int = 4) -> None:
        height, width = spec.image_size
        self.spec = spec
        self.pictures = noise(count, max(height, width))[:, :height, :width]
        self.model = settle(randomise(build(spec)), self.pictures)
        self.expected = self.answers(self.model)

    def answers(self, model: tf_keras.Model) -> list[np.ndarray]:
        """All that a model of the same task says of the pictures."""
        found = model(self.pictures, training=False)
        return [np.asarray(part) for part in (found if isinstance(found, list) else [found])]

    def check_answers(self, model: tf_keras.Model) -> None:
        for expected, found in zip(self.expected, self.answers(model), strict=True):
            assert np.std(expected) > 0.01
            assert relative_error(expected, found) <= 1e-4


# -- networks --------------------------------------------------------------------------------


def check_layers(network: Network) -> None:
    """What is built is what is counted and listed."""
    spec, total = network.spec, cost(network.spec)
    check_real(network.model)
    trainable = network.model.trainable_variables
    assert sum(int(np.prod(variable.shape)) for variable in trainable) == total.params
    for op in total.operators:
        assert tuple(network.model.get_layer(op.name).output.shape[1:]) == op.output, op.name
    answers = {
        "classify": lambda: [(spec.num_classes,)],
        "detect": lambda: [(len(spec.anchors()), last) for last in (4, 1 + spec.num_classes)],
        "segment": lambda: [(*spec.image_size, spec.num_classes)],
    }[spec.task]()
    assert [answer.shape[1:] for answer in network.expected] == answers


def check_real(model: tf_keras.Model) -> None:
    """tfmot cannot annotate an operator on tensors (TFOpLambda, SlicingOpLambda)."""
    for layer in model.layers:
        kind = type(layer)
        assert "Lambda" not in kind.__name__
        assert kind.__module__.startswith(("tf_keras", "mnv3_tf.layers")), kind


def check_round_trips(network: Network, folder: Path) -> None:
    """The spec by way of JSON, and the weights by way of a file."""
    spec = from_json(network.spec.to_json())
    assert spec == network.spec
    network.model.save_weights(folder / "a.h5")
    found, model = load_model(spec, str(folder / "a.h5"))
    assert found == spec
    before, after = collect(network.model), collect(model)
    assert set(before) == set(after)
    for layer, variables in before.items():
        for name, value in variables.items():
            np.testing.assert_array_equal(value, after[layer][name], err_msg=layer)


def check_lowering(network: Network, lowering: Lowering) -> None:
    """The same answers without BatchNorm, also when channels are scaled each by itself."""
    spec, weights = network.spec, collect(network.model)
    model = lowered_model(spec, network.model, lowering)
    check_real(model)
    kinds = {type(layer) for layer in model.layers}
    assert tf_keras.layers.BatchNormalization not in kinds
    network.check_answers(model)
    plain = {name: layer["bias"] for name, layer in collect(model).items()}
    rng = np.random.default_rng(3)
    gains = {
        convolution: np.exp(rng.uniform(0, np.log(64), len(gain)))
        for convolution, gain in channel_gains(
            spec.backbone, model, lowering, network.pictures
        ).items()
    }
    assert gains
    assign_layers(model, lower_weights(spec, weights, lowering, gains))
    network.check_answers(model)
    for convolution, gain in gains.items():
        # It is this very convolution that they scale, by so much, whatever feeds it.
        bias = model.get_layer(convolution).bias
        np.testing.assert_allclose(bias, plain[convolution] * gain, rtol=1e-5)


# -- files -----------------------------------------------------------------------------------


def check_file(spec: Spec, out: Path, labels: tuple[str, ...] | None = None) -> dict[str, Any]:
    """A file and the report beside it, which are all that an export leaves; returns the report."""
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert sorted(path.name for path in out.parent.glob(f"{out.stem}*")) == [
        out.with_suffix(".report.json").name,
        out.name,
    ]
    for key, parts in REPORT.items():
        assert key in report
        assert parts is None or parts <= set(report[key]), key
    found = inspection.inspect(out)
    for key in ("sha256", "bytes", "quantize", "hard_swish", "ops", "float_islands", "xnnpack"):
        assert found[key] == report[key], key
    assert report["bytes"] == out.stat().st_size
    assert found["labels"] == metadata.read_labels(out) == (labels and list(labels))
    assert metadata.read_spec(out) == spec
    assert "{} at {}x{}.".format(spec.name, *spec.image_size).encode() in out.read_bytes()
    assert (report["model"], report["task"], report["spec_hash"]) == (
        spec.name,
        spec.task,
        spec.hash,
    )
    without = report["hard_swish_reason"] == "the network has no h-swish"
    assert without == (report["hard_swish"] == "none")
    assert report["input"]["shape"] == [1, *spec.image_size, 3]
    assert report["layers"]
    assert {*report["layers"][0]} == {"name", "sqnr_db"}
    assert report["xnnpack"]["error"] is None
    # Boxes are found in float, behind the network.
    finds_boxes = "TFLite_Detection_PostProcess" in report["ops"]
    assert report["float_islands"] == int(finds_boxes and report["quantize"] == "int8")
    TFLiteModel(out, delegate=False).invoke()
    return report


def check_one_partition(report: dict[str, Any], **outside: int) -> None:
    """XNNPACK computes all in one piece, but for these operators at the ends."""
    share = report["xnnpack"]
    assert share["partitions"] == 1
    assert share["outside"] == outside
    assert share["nodes"] - share["delegated"] == sum(outside.values())


def check_float(report: dict[str, Any]) -> None:
    """But for rounding, each layer gives what the network's own does."""
    assert (report["quantize"], report["method"], report["simulation"]) == ("none", None, None)
    assert not {"stem", "bias_correction", "qat_steps", "simplified", "warnings"} & set(report)
    assert report["input"]["dtype"] == "float32"
    assert min(layer["sqnr_db"] for layer in report["layers"]) > 60


def check_int8(spec: Spec, report: dict[str, Any], method: str = "ptq") -> None:
    """Every layer computes what its fake-quantised twin does, on a camera's bytes."""
    assert (report["quantize"], report["method"]) == ("int8", method)
    assert report["simulation"]["first_parting"] is None
    assert "HARD_SWISH" not in report["ops"]
    activations = {
        spec.backbone.stem.activation,
        *(block.activation for block in spec.backbone.blocks),
    }
    assert report["hard_swish"] == ("composite" if "hard_swish" in activations else "none")
    assert report["input"]["dtype"] == "uint8"
    assert abs(report["input"]["scale"] * 127.5 - 1) < 1e-3
    assert report["input"]["zero_point"] in (127, 128)
    assert set(report["simplified"]) == {
        "squeeze_excite_removed",
        "constant_gates",
        "constant_hidden",
    }
