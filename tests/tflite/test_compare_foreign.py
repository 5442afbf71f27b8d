"""Comparing files that others made, each of which wants pictures in its own way."""

from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from foreign_files import ForeignFile, colour_classifier, written

from mnv3_tf.tflite import compare as compare_module
from mnv3_tf.tflite.compare import compare, noise, open_pair
from mnv3_tf.tflite.packing import pack_model
from mnv3_tf.tflite.reading import Reading


@pytest.fixture(autouse=True)
def at_once(looked_at_here):
    """Nothing here crashes."""


def single_score(shift: float) -> bytes:
    """How much blue there is, less `shift`, as how sure the second of two classes is."""
    file = ForeignFile()
    means = file.means(file.input((1, 32, 32, 3)))
    weights, bias = file.constant([[0.0, 0.0, 8.0]]), file.constant([-shift])
    logit = file.add("FULLY_CONNECTED", [means, weights, bias], (1, 1), name="net/dense/MatMul")
    return file.finish(file.add("LOGISTIC", [logit], (1, 1), name="net/sure/Sigmoid"))


def test_a_single_score_can_disagree(tmp_path):
    pair = [written(tmp_path, single_score(shift), f"{shift}.tflite") for shift in (-9, 9)]
    reading = Reading(input_range="-1..1")
    found = compare(*open_pair(pair[0], pair[0], reading), noise(4, 32))
    assert (found["agreement"], round(found["divergence"], 6)) == (1, 0)
    found = compare(*open_pair(*pair, reading), noise(4, 32))
    assert found["agreement"] == 0
    assert found["divergence"] > 1


def test_each_file_gets_the_pictures_as_it_wants_them(tmp_path):
    """Files of one network, one of which scales by itself, answer alike."""
    scaled = [("MUL", 1 / 127.5), ("SUB", 1.0)]
    contents = {
        "bytes": colour_classifier(scaled, shape=(1, 32, 32, 3)),
        "unit": colour_classifier([("MUL", 2.0), ("SUB", 1.0)], shape=(1, 32, 32, 3)),
    }
    paths = [
        written(tmp_path, named(content), f"{name}.tflite") for name, content in contents.items()
    ]
    found = compare(*open_pair(*paths), noise(6, 32))
    assert found["agreement"] == 1
    assert found["divergence"] == pytest.approx(0, abs=1e-6)
    assert found["layers"][0]["sqnr_db"] > 100


def named(content: bytes) -> bytes:
    """With the means as a layer's output; what is before them is none."""
    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = tree.subgraphs[0]
    graph.tensors[graph.operators[-1].inputs[0]].name = b"net/means/Mean"
    return pack_model(tree)


def test_masks_have_no_top1():
    rng = np.random.default_rng(0)
    masks = rng.normal(size=(2, 12))
    one = SimpleNamespace(gives_classes=False, last_op="SOFTMAX")
    assert compare_module._answers(one, one, masks, masks) == (None, None)
