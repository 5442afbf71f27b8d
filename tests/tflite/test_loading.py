"""Files that do not load or run, each told by its true cause; whoever wrote them."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from foreign_files import SIDE, ForeignFile, colour_classifier, written
from looking import in_process
from refusals import refused as refuses

from mnv3_tf.errors import UserError
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import causes, loading, skeleton
from mnv3_tf.tflite.loading import RefusedByXnnpack


def ending_in(op: str, version: int = 1) -> bytes:
    """A file whose last operator is another's."""
    file = ForeignFile()
    means = file.means(file.input((1, SIDE, SIDE, 3)))
    return file.finish(file.add(op, [means], (1, 3), version=version))


def newer() -> bytes:
    file = ForeignFile()
    out = file.add("LOGISTIC", [file.input((1, SIDE, SIDE, 3))], (1, SIDE, SIDE, 3))
    file.tree.operatorCodes[0].builtinCode = 9999
    return file.finish(out)


def looking_up() -> bytes:
    """A text model: what its input holds are rows of a table of two."""
    file = ForeignFile()
    table = file.constant(np.ones((2, 3)))
    return file.finish(file.add("GATHER", [table, file.input((16,), "int32")], (16, 3)))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (
            lambda: ending_in("LOGISTIC", version=99),
            f"needs LOGISTIC version 99, which LiteRT {version('ai-edge-litert')} does not have; "
            "convert it with an older TensorFlow, or update ai-edge-litert",
        ),
        (newer, "needs operator number 9999, which LiteRT"),
        (
            lambda: ending_in("edgetpu-custom-op"),
            "was compiled for the Edge TPU (edgetpu-custom-op) and runs there alone; give the file "
            "from before edgetpu_compiler",
        ),
        (
            lambda: ending_in("FlexMatrixDeterminant"),
            "holds operators of TensorFlow itself (FlexMatrixDeterminant)",
        ),
        (lambda: ending_in("FlexMatrixDeterminant"), "without SELECT_TF_OPS"),
        (lambda: ending_in("OurOwn.Operator"), "holds the custom operator OurOwn.Operator, which"),
        (
            lambda: colour_classifier(shape=(1, 1, 1, 3), signature=(-1, -1, -1, 3)),
            "takes an input of any size (1 x any x any x 3); say which: --input_shape=1x224x224x3",
        ),
        (lambda: colour_classifier(shape=(1, 2**17, 2**17, 3)), "needs over 206.2 GB to run, of"),
    ],
)
def test_the_cause_is_named_and_what_helps(
    content: Callable[[], bytes], named: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content())
    with in_process():
        for delegate in (True, False):
            with refuses(path, named) as caught:
                loading.check_loads(path, delegate)
            assert "XNNPACK" not in str(caught.value)
            assert "damaged" not in str(caught.value)


def test_a_size_that_was_free_can_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, colour_classifier(shape=(1, 1, 1, 3), signature=(-1, -1, -1, 3)))
    with in_process():
        loading.check_loads(path, input_shape=(1, 5, 7, 3))
        with refuses(path, "does not run: "):
            loading.check_loads(path, input_shape=(1, 5))


def test_inputs_are_filled_before_the_file_runs(tmp_path: Path) -> None:
    path = written(tmp_path, looking_up())
    with in_process():
        loading.check_loads(path)


@pytest.mark.parametrize("kind", ["float", "uint8", "composite"])
def test_good_files_load(file, kind):
    loading.check_loads(file(kind))
    loading.check_loads(file(kind), delegate=False)


def test_memory_follows_the_weights(tmp_path):
    peaks = {}
    for quantize in ("none", "int8"):
        path = tmp_path / f"{quantize}.tflite"
        path.write_bytes(skeleton.network(resolve("large", resolution=64), quantize))
        peaks[quantize] = loading.check_loads(path)
    assert peaks["none"] > 4 * 5.4 > peaks["int8"] > 5.4


def test_a_file_that_xnnpack_alone_refuses_is_told_with_its_operator(refused):
    pattern = r"does not load under XNNPACK.*CONV_2D '.*conv.*--delegate=none"
    with pytest.raises(RefusedByXnnpack, match=pattern):
        loading.check_loads(refused)
    loading.check_loads(refused, delegate=False)
    runs, (note,) = loading.runs_on_xnnpack(refused, wanted=True)
    assert not runs
    assert note.endswith("TFLite's built-in kernels run it")
    assert loading.runs_on_xnnpack(refused, wanted=False) == (False, ())


def test_bad_files_are_told_in_one_sentence(file, tmp_path):
    whole = file("fused").read_bytes()
    contents = {
        "cut": whole[: len(whole) // 2],
        "header_only": whole[:64],
        "empty": b"",
        "text": b"this is not a model, but a text file",
        "noise": whole[:8] + np.random.default_rng(0).bytes(5000),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(UserError, match=name):
            loading.check_loads(path)
    with pytest.raises(UserError, match="No such file"):
        loading.check_loads(tmp_path / "absent.tflite")


def test_a_process_that_dies_leaves_its_last_words():
    stderr = "INFO: Created delegate.\nERROR: failed to prepare\n"
    assert causes.crash_message(-6, stderr) == (
        "the runtime crashed (stopped by signal 6: failed to prepare)"
    )
    assert causes.crash_message(1, "") == "the runtime crashed (exit status 1)"


def test_partitions_are_walked_from_their_outputs_to_their_inputs():
    def node(index, inputs, outputs, op_name="RELU"):
        return {"index": index, "op_name": op_name, "inputs": inputs, "outputs": outputs}

    # 0 -> [0] -> 1 -> [1] -> 2 -> [2] -> 3 -> [3] -> 4; nodes 0, 1 and 3 are replaced.
    nodes = [node(i, [i], [i + 1]) for i in range(4)]
    partitions = [node(4, [0], [2], "DELEGATE"), node(5, [3], [4], "DELEGATE")]
    assert causes.partition_members(nodes + partitions) == {4: [0, 1], 5: [3]}
