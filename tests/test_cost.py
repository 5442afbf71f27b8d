"""Golden parameters and multiply-adds, and the command that prints them."""

import json

import pytest

from mnv3_tf import cost as command
from mnv3_tf.networks import cost
from mnv3_tf.networks.graph import Depthwise
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.ui import cli


@pytest.mark.parametrize(
    ("name", "width", "params", "madds"),
    [
        ("large", 1.0, 5_483_032, 216_589_760),
        ("small", 1.0, 2_542_856, 56_510_400),
        ("large_minimalistic", 1.0, 3_924_288, 209_136_704),
        ("small_minimalistic", 1.0, 2_044_736, 52_288_448),
        ("v2", 1.0, 3_504_872, 300_774_272),
        ("v4_conv_small", 1.0, 3_774_024, 186_005_568),
        ("v2", 0.35, 1_677_128, 59_285_808),
        ("v2", 0.5, 1_968_680, 97_131_840),
        ("v2", 0.75, 2_636_424, 209_069_792),
        ("v2", 1.4, 6_108_776, 582_195_824),
        ("mnasnet_a1", 1.0, 3_887_038, 311_579_072),
    ],
)
def test_golden_numbers(name, width, params, madds):
    found = cost.cost(resolve(name, width))
    assert (found.params, found.madds) == (params, madds)


TABLE_9 = [  # (model, resolution, width, MAdds in millions, parameters in millions)
    ("large", 224, 1.25, 356, 7.5),
    ("large", 224, 1.0, 217, 5.4),
    ("large", 224, 0.75, 155, 4.0),
    ("large", 224, 0.5, 69, 2.6),
    ("large", 224, 0.35, 40, 2.2),
    ("large", 256, 1.0, 282, 5.4),
    ("large", 192, 1.0, 160, 5.4),
    ("large", 160, 1.0, 112, 5.4),
    ("large", 128, 1.0, 73, 5.4),
    ("large", 96, 1.0, 43, 5.4),
    ("small", 224, 1.25, 91, 3.6),
    ("small", 224, 1.0, 57, 2.5),
    ("small", 224, 0.75, 44, 2.0),
    ("small", 224, 0.5, 21, 1.6),
    ("small", 224, 0.35, 12, 1.4),
    ("small", 256, 1.0, 74, 2.5),
    ("small", 160, 1.0, 30, 2.5),
    ("small", 128, 1.0, 20, 2.5),
    ("small", 96, 1.0, 12, 2.5),
]


@pytest.mark.parametrize(("name", "resolution", "width", "madds", "params"), TABLE_9)
def test_table_9(name, resolution, width, madds, params):
    found = cost.cost(resolve(name, width, resolution))
    assert found.madds / 1e6 == pytest.approx(madds, abs=1.0)
    assert found.params / 1e6 == pytest.approx(params, abs=0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_operators_follow_one_another(name):
    spec = resolve(name, resolution=100)
    listed = list(cost.operators(spec))
    assert len({op.name for op in listed}) == len(listed)
    assert listed[0].input == (100, 100, 3)
    assert listed[-1].output == (1, 1, 1000)
    last = None
    for op in listed:
        if op.kind in ("conv", "depthwise") and "squeeze_excite" not in op.name:
            assert last is None or op.input == last, op.name
        if "squeeze_excite" not in op.name:
            last = op.output
        assert (op.madds > 0) == (op.kind in ("conv", "depthwise"))


def test_one_operator_in_full():
    found = {op.name: op for op in cost.cost(resolve("large"), output_stride=16).operators}
    assert found["expanded_conv_13_depthwise"] == Depthwise(
        name="expanded_conv_13_depthwise",
        stage="expanded_conv_13",
        input=(14, 14, 960),
        output=(14, 14, 960),
        kernel=5,
        stride=1,
        dilation=2,
        activation="hard_swish",
        reads=("expanded_conv_13_expand",),
        role="depthwise",
    )
    assert found["expanded_conv_13_depthwise"].params == 25 * 960 + 2 * 960
    assert found["expanded_conv_13_depthwise"].madds == 25 * 960 * 14 * 14
    assert found["conv_2"].activation == "hard_swish"
    assert found["expanded_conv_13_squeeze_excite_conv_1"].activation == "hard_sigmoid"
    assert found["expanded_conv_13_project"].activation == "linear"


def call(*arguments: str) -> int:
    return cli.call(command.main, command.define_flags, ["cost", *arguments])


def test_command(capsys):
    assert call("--model=small", "--width=0.75", "--resolution=96", "--json") == 0
    out = capsys.readouterr().out
    found = json.loads(out.strip().splitlines()[-1])
    spec = resolve("small", 0.75, 96)
    expected = cost.cost(spec)
    assert found == {
        "params": expected.params,
        "madds": expected.madds,
        "model": "small_0.75",
        "task": "classify",
        "resolution": 96,
        "num_classes": 1000,
        "hash": spec.hash,
    }
    assert f"{expected.madds:,}" in out


def test_command_takes_a_spec_file(tmp_path, capsys):
    (tmp_path / "a.json").write_text(resolve("small").with_expansion(4, 200).to_json())
    assert call(f"--model={tmp_path}/a.json", "--json") == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["params"] < 2_542_856


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--model=resnet", "Unknown model 'resnet'"),
        ("--width=0", "Width multiplier 0.0"),
        ("--width=-1", "Width multiplier -1.0"),
        ("--width=nan", "Width multiplier nan"),
        ("--resolution=8", "resolution is 8"),
        ("--resolution=wide", "--resolution=wide must be a number of pixels"),
        ("--width=wide", "wide"),
        ("--colour=red", "colour"),
        ("large", "Unexpected argument 'large'"),
    ],
)
def test_bad_arguments_are_one_sentence(argument, sentence, capsys):
    assert call(argument) == 2
    out, err = capsys.readouterr()
    assert sentence in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
