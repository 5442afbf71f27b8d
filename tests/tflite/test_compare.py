"""Two files layer by layer: gains, matching, and finding the layer that breaks the network."""

import json

import numpy as np
import pytest
import tiny
from ai_edge_litert import schema_py_generated as schema
from int8_twins import int8_file
from making import LABELS, pictures
from PIL import Image
from random_network import noise
from refusals import check_command

from mnv3_tf import inspect as command
from mnv3_tf.errors import Failure
from mnv3_tf.networks.cost import operators
from mnv3_tf.networks.named import resolve
from mnv3_tf.tflite import compare as comparing
from mnv3_tf.tflite import skeleton
from mnv3_tf.tflite.compare import (
    Moments,
    compare,
    largest_drops,
    match_layers,
    open_pair,
    worst_layers,
)
from mnv3_tf.tflite.packing import pack_model
from mnv3_tf.tflite.runtime import TensorInfo
from mnv3_tf.tflite.tensors import LayerTensor, counted, layer_names
from mnv3_tf.ui import cli


@pytest.mark.parametrize(
    ("tensor", "names"),
    [
        ("m/quant_conv/BiasAdd;m/quant_conv/Conv2D", ["conv", "conv_biasadd"]),
        ("m/quant_a_relu/Relu;m/quant_a/BiasAdd", ["a_relu", "a_relu_relu", "a"]),
        ("MobilenetV3/Conv_1/hard_swish/mul_1", ["conv_1_hard_swish", "conv_1_hard_swish_mul_1"]),
        ("StatefulPartitionedCall/m/conv/Conv2D", ["conv", "conv_conv2d"]),
        ("conv/Relu6", ["conv", "conv_relu6"]),
        ("StatefulPartitionedCall:0", [""]),
        ("Softmax", [""]),
    ],
)
def test_layer_names(tensor, names):
    assert layer_names(tensor) == names


def layer(name, *shape, aliases=()):
    return LayerTensor(name, "CONV_2D", 0, TensorInfo("float32", shape, None, None), aliases)


def test_layers_are_matched_by_name_then_by_alias_and_never_across_shapes():
    expected = [
        layer("a", 1, 8, 8, 4),
        layer("b_relu", 1, 4, 4, 2, aliases=("b_relu_relu", "b")),
        layer("c", 1, 4, 4, 2),
        layer("d", 1, 1, 1, 9),
    ]
    found = [
        layer("a", 1, 8, 8, 4),
        layer("b", 1, 4, 4, 2, aliases=("b_relu",)),
        layer("c", 1, 4, 4, 3),
        layer("x", 1, 4, 4, 2, aliases=("b",)),
        layer("d", 1, 9),
    ]
    pairs = [(a.name, b.name) for a, b in match_layers(expected, found)]
    assert pairs == [("a", "a"), ("b_relu", "b"), ("d", "d")]


def moments(x, y):
    made = Moments()
    for one, other in zip(x, y, strict=True):
        made.add(one, other)
    return made


def test_a_gain_is_not_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 16, 16, 8)).astype(np.float32)
    error = rng.normal(0, 0.1, x.shape).astype(np.float32)
    plain = moments(x, x + error)
    assert plain.sqnr_db(False) == pytest.approx(20, abs=0.3)
    assert plain.gain == pytest.approx(1, abs=0.01)
    six = moments(x, 6 * (x + error))
    assert six.gain == pytest.approx(6, rel=0.01)
    assert six.sqnr_db(False) == plain.sqnr_db(False)
    gains = np.geomspace(0.1, 10, 8)
    equalised = moments(x, gains * (x + error))
    assert equalised.sqnr_db(True) == pytest.approx(20, abs=0.3)
    assert equalised.sqnr_db(False) < 6


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_channel_that_is_lost_is_noise(per_channel):
    x = np.random.default_rng(0).choice([-1.0, 1.0], size=(4, 16, 16, 8))
    y = x.copy()
    y[..., 3] = 0
    assert moments(x, y).sqnr_db(per_channel) == pytest.approx(10 * np.log10(8), abs=0.1)
    assert moments(x, 0 * x).sqnr_db(per_channel) == pytest.approx(0, abs=0.1)
    assert moments(0 * x, y).gain is None


def test_few_values_do_not_get_a_gain_each():
    """With one value of each channel any gain would fit exactly."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 1, 1, 500))
    y = x + rng.normal(0, 0.3, x.shape)
    assert moments(x, y).sqnr_db(True) == moments(x, y).sqnr_db(False) < 13
    x = rng.normal(size=(16, 1, 1, 500))
    y = x + rng.normal(0, 0.3, x.shape)
    assert moments(x, y).sqnr_db(True) == pytest.approx(moments(x, y).sqnr_db(False), abs=0.2)


def test_what_a_hard_swish_erases_is_left_out():
    x = np.array([-5.0, -3.0, -2.0, 4.0])
    assert counted("a", {"a", "a_hard_swish"}, x).tolist() == [0, 0, 1, 1]
    assert counted("a", {"a"}, x) == 1
    assert counted("a", {"a", "a_hard_swish", "a_gate_relu6"}, x) == 1


# -- files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks(made, file, tmp_path_factory):
    """Path by kind, of one network: float, with int8 weights, int8, and with a broken layer."""
    paths = {
        "float": file("fused"),
        "dynamic": file("dynamic"),
        "composite": made(int8_file, "composite") / "m.tflite",
        "broken": tmp_path_factory.mktemp("compare") / "broken.tflite",
    }

    def narrow(graph):
        """A quarter of the range, which clips a lot."""
        made = [graph.tensors[operator.outputs[0]] for operator in graph.operators]
        (tensor,) = (t for t in made if layer_names(t.name.decode())[0] == BROKEN)
        tensor.quantization.scale = tensor.quantization.scale / 4

    paths["broken"].write_bytes(edited(paths["composite"].read_bytes(), narrow))
    return paths


BROKEN = "expanded_conv_2_project"


def edited(content, change):
    """The file after `change(main subgraph)`."""
    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    change(tree.subgraphs[0])
    return pack_model(tree)


@pytest.fixture(autouse=True)
def at_once(looked_at_here):
    """Nothing here crashes."""


def rows_of(networks, reference, file, **options):
    found = compare(
        *open_pair(networks[reference], networks[file]), pictures("classify", 8), **options
    )
    return found, {row["name"]: row for row in found["layers"]}


def test_a_file_agrees_with_itself(networks):
    found, rows = rows_of(networks, "float", "float")
    assert {row["sqnr_db"] for row in rows.values()} == {150.0}
    assert {row["drop_db"] for row in rows.values()} <= {0.0, None}
    assert all(row["gain"] == pytest.approx(1) for row in rows.values())
    assert found["unmatched"] == []
    assert found["agreement"] == 1
    assert found["divergence"] == pytest.approx(0, abs=1e-7)  # of probabilities in float32


@pytest.mark.parametrize("form", ["dynamic", "composite"])
def test_either_form_is_compared_with_float(networks, form):
    found, rows = rows_of(networks, "float", form)
    gain = 6 if form == "composite" else 1
    assert rows["conv"]["gain"] == pytest.approx(1, rel=0.05)
    assert rows["conv_hard_swish"]["gain"] == pytest.approx(gain, rel=0.05)
    assert rows["conv"]["sqnr_db"] > 25
    assert rows["conv"]["drop_db"] is None  # it reads the picture
    assert rows["conv_hard_swish"]["drop_db"] == pytest.approx(
        rows["conv"]["sqnr_db"] - rows["conv_hard_swish"]["sqnr_db"], abs=0.06
    )
    # An addition is held against the worse of its two terms.
    inputs = [rows[f"expanded_conv_{name}"]["sqnr_db"] for name in ("1_project", "2_project")]
    add = rows["expanded_conv_2_add"]
    assert add["drop_db"] == pytest.approx(min(inputs) - add["sqnr_db"], abs=0.06)
    unmatched = [name for name in found["unmatched"] if "shifted_relu6" not in name]
    assert unmatched == []
    assert (found["unmatched"] != []) == (form == "composite")
    assert found["agreement"] >= 0.5
    assert 0 < found["divergence"] < 0.3
    assert [row["index"] for row in found["layers"]] == sorted(r["index"] for r in rows.values())


def test_the_broken_layer_is_found(networks):
    found, _ = rows_of(networks, "float", "broken")
    _, sound = rows_of(networks, "float", "composite")
    drops = largest_drops(found["layers"], 3)
    assert drops[0]["name"] == "expanded_conv_2_project"
    assert drops[0]["drop_db"] > sound["expanded_conv_2_project"]["drop_db"] + 3
    worst = worst_layers(found["layers"], 4)
    assert [r["sqnr_db"] for r in worst] == sorted(r["sqnr_db"] for r in found["layers"])[:4]


def test_one_gain_for_a_tensor_can_be_asked_for(networks):
    _, rows = rows_of(networks, "float", "composite", per_channel=False)
    assert all(row["sqnr_db"] == row["sqnr_db_one_gain"] for row in rows.values())


def test_a_foreign_file_is_matched(shared, tmp_path):
    """Slim's 8-bit Small against ours with random weights: the same layers, other values."""
    ours = tmp_path / "ours.tflite"
    ours.write_bytes(edited(skeleton.network(resolve("small")), name_layers))
    theirs = shared / "mnv3_small_imagenet" / "v3-small_224_1.0_uint8.tflite"
    found = compare(*open_pair(ours, theirs), noise(1, 224))
    names = {row["name"] for row in found["layers"]}
    assert len(names) > 70
    assert {"conv_1", "expanded_conv_7_depthwise_hard_swish", "conv_2_hard_swish"} <= names
    # It has a class more.
    assert found["agreement"] is found["divergence"] is None


def name_layers(graph):
    """As the converter names the outputs of `resolve("small")`."""
    names = []
    for op in operators(resolve("small")):
        names.append(op.name)
        if op.activation == "hard_swish":
            names.append(f"{op.name}_hard_swish")
    for operator, name in zip(graph.operators, names, strict=False):
        graph.tensors[operator.outputs[0]].name = f"small/{name}/op".encode()


# -- the command -----------------------------------------------------------------------------


def run(*arguments):
    argv = ["inspect", *map(str, arguments)]
    return cli.call(command.main, command.define_flags, argv, bare="model_file")


def test_the_command_names_the_worst_and_draws_them(networks, tmp_path, capsys):
    out = tmp_path / "layers.png"
    arguments = [networks["broken"], f"--compare={networks['float']}", "--images=4", "--json"]
    assert run(*arguments, f"--out={out}") == 0
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines[:-1])
    assert "4 pictures of noise" in text
    assert f"Drawn in {out}." in " ".join(text.split())
    report = json.loads(lines[-1])
    assert report["quantize"] == "int8"  # the report on the file itself is still there
    compared = report["compare"]
    rows = compared["layers"]
    assert (compared["images"], compared["dataset"]) == (4, None)
    assert (compared["reference"], compared["per_channel"]) == (str(networks["float"]), True)
    title = next(i for i, line in enumerate(lines) if f"The 15 worst of {len(rows)}" in line)
    lost = next(i for i, line in enumerate(lines) if "Where most is lost" in line)
    against = next(i for i, line in enumerate(lines) if "Against" in line)
    assert shown(lines[title:lost], rows) == [row["name"] for row in worst_layers(rows, 15)]
    assert shown(lines[lost:against], rows) == [row["name"] for row in largest_drops(rows, 6)]
    assert shown(lines[lost:against], rows)[0] == BROKEN
    (row,) = (row for row in rows if row["name"] == BROKEN)
    figures = [f"{row['sqnr_db']:.1f}", f"{row['drop_db']:.1f}", f"{row['gain']:.3g}"]
    assert [BROKEN, str(row["index"]), *figures] in [line.split() for line in lines]
    assert f"{compared['agreement']:.4f}" in text
    assert f"{compared['divergence']:.4f} nats" in text
    missing = compared["unmatched"]
    assert f"{len(missing)}: {', '.join(missing[:3])}, ..." in " ".join(text.split())
    assert out.read_bytes().startswith(b"\x89PNG")
    assert run(*arguments, "--all", "--noper_channel") == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1])["compare"]["per_channel"] is False
    lost = next(i for i, line in enumerate(lines) if "Where most is lost" in line)
    assert shown(lines[:lost], rows) == [row["name"] for row in rows]


def shown(lines, rows):
    """The layers of a table, in its order."""
    names = {row["name"] for row in rows}
    return [line.split()[0] for line in lines if line.split() and line.split()[0] in names]


def test_without_being_told_there_are_32_pictures(networks, monkeypatch, capsys):
    def count(expected, found, images, per_channel):
        raise Failure(f"{len(images)} of {images.shape[1]}, {per_channel}.")

    monkeypatch.setattr(comparing, "compare", count)
    assert run(networks["dynamic"], f"--compare={networks['float']}") == 1
    assert capsys.readouterr().err == "32 of 32, True.\n"


def test_the_noise_is_lively_and_always_the_same():
    pictures = comparing.noise(3, 16)
    assert (pictures.shape, pictures.dtype) == ((3, 16, 16, 3), np.float32)
    np.testing.assert_array_equal(pictures, comparing.noise(3, 16))
    assert 0.3 < pictures.std() < 0.6
    assert -1 <= pictures.min() < -0.9 < 0.9 < pictures.max() <= 1
    # Gradients: opposite sides differ more than neighbours do.
    sides = np.abs(pictures[:, :, 0].mean(1) - pictures[:, :, -1].mean(1))
    assert sides.max() > 0.3


def test_the_command_takes_real_pictures(networks, tmp_path, capsys):
    for index, picture in enumerate(pictures("classify", 12)):
        folder = tmp_path / "photos" / LABELS[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(((picture + 1) * 127.5).astype(np.uint8)).save(folder / f"{index}.png")
    source = f"folder:{tmp_path / 'photos'}"
    arguments = [networks["dynamic"], f"--compare={networks['float']}", f"--dataset={source}"]
    assert run(*arguments, "--images=2", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    compared = json.loads(lines[-1])["compare"]
    assert (compared["images"], compared["dataset"]) == (2, source)
    assert not any("pictures of noise" in line for line in lines)


def test_what_cannot_be_compared_is_one_sentence(networks, tmp_path, capsys):
    small = networks["float"]

    def stored(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    cut = stored("cut.tflite", small.read_bytes()[:5000])
    larger = skeleton.network(tiny.CLASSIFIER.replace(resolution=64))
    other = stored("other.tflite", larger)
    stranger = stored("stranger.tflite", skeleton.network(tiny.CLASSIFIER))
    oblong = stored("oblong.tflite", skeleton.network(tiny.SEGMENTER))
    wrong = {
        "cut short": [small, f"--compare={cut}"],
        f"{small} takes pictures of 32 pixels and {other} of 64": [small, f"--compare={other}"],
        "pictures of 64 x 96 pixels, which are not square": [small, f"--compare={oblong}"],
        "no layer in common": [small, f"--compare={stranger}"],
        "Cannot read": [small, "--compare=nothing.tflite"],
        "--dataset belongs to a comparison; give --compare": [small, "--dataset=shapes"],
        "--out belongs to": [small, "--out=x.png"],
        "--all belongs to": [small, "--all"],
        "--out=x.svg must end in .png": [small, f"--compare={small}", "--out=x.svg"],
        "Unknown dataset": [small, f"--compare={small}", "--dataset=photos"],
    }
    for named, (model, *others) in wrong.items():
        words = [f"--model_file={model}", *others]
        check_command(command, words, named, capsys, tmp_path)
    assert run(small, f"--compare={small}", "--images=0") == 2
    assert "--images=0" in capsys.readouterr().err
