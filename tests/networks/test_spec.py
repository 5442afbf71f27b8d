"""The spec alone: rounding, validation, JSON, hash, edits, placement."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.blocks import make_divisible
from mnv3_tf.networks.cost import cost
from mnv3_tf.networks.lraspp import make_segmenter
from mnv3_tf.networks.named import NETWORKS, resolve
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.networks.ssdlite import make_detector

LARGE, SMALL = resolve("large"), resolve("small")
EVERY = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (8, 8),
        (1, 8),
        (11.9, 16),  # 8 would be below 90 %
        (12, 16),
        (8.8, 8),
        (8.9, 16),
        (20, 24),
        (35, 32),
        (36, 40),
        (37, 40),
        (672 * 0.35, 232),
    ],
)
def test_make_divisible(channels, expected):
    assert make_divisible(channels) == expected


@pytest.mark.parametrize("divisor", [1, 4, 8, 16])
def test_rounded_channels_are_multiples_and_never_below_nine_tenths(divisor):
    for tenth in range(1, 4000, 7):
        rounded = make_divisible(tenth / 10, divisor)
        assert rounded % divisor == 0
        assert rounded >= max(divisor, 0.9 * tenth / 10)
        assert rounded - tenth / 10 <= divisor


# -- names and arguments ---------------------------------------------------------------------


def test_an_unknown_model_is_told_the_known_ones():
    with pytest.raises(UserError) as caught:
        resolve("mobilenet")
    for name in ("'mobilenet'", *NETWORKS):
        assert name in str(caught.value)


@pytest.mark.parametrize("width", [0, -0.5, math.nan, math.inf])
def test_a_width_must_be_a_positive_number(width):
    with pytest.raises(UserError, match=f"Width multiplier {width} is not a positive number"):
        resolve("large", width)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"resolution": 31}, "resolution is 31 but must be a whole number of at least 32"),
        ({"num_classes": 0}, "num_classes is 0 but must be a whole number of at least 1"),
        ({"num_classes": -3}, "num_classes is -3"),
    ],
)
def test_arguments_out_of_range(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        resolve("small", **arguments)


def test_a_spec_file_keeps_what_is_not_asked_for(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(SMALL.replace(resolution=96, num_classes=7).to_json())
    assert (resolve(str(path)).resolution, resolve(str(path)).num_classes) == (96, 7)
    changed = resolve(str(path), 0.5, resolution=64, num_classes=3)
    assert changed == SMALL.with_width(0.5).replace(resolution=64, num_classes=3)


def test_a_spec_file_that_is_absent(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.json does not exist"):
        resolve(str(tmp_path / "nowhere.json"))


def test_a_spec_file_that_is_no_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match="A network spec must be JSON"):
        resolve(str(tmp_path / "a.json"))


@EVERY
def test_width_multiplier(name):
    spec = resolve(name)
    assert spec.with_width(1.0) == spec
    for width in (0.35, 0.75, 1.25):
        scaled = spec.with_width(width)
        assert scaled.name == f"{name}_{width:g}"
        assert [p.has_expansion for p in scaled.placed_blocks()] == [
            p.has_expansion for p in spec.placed_blocks()
        ]
        for block, base in zip(scaled.blocks, spec.blocks, strict=True):
            assert block.filters == make_divisible(base.filters * width)
            assert block.widest % 8 == 0
        assert (scaled.last_conv >= spec.last_conv) == (width > 1 or name == "v2" or "a1" in name)


def test_the_hidden_layer_is_not_shrunk_and_grows_to_1280():
    assert [LARGE.with_width(w).hidden for w in (0.35, 1, 1.25)] == [1280] * 3
    assert [SMALL.with_width(w).hidden for w in (0.35, 1, 1.25, 2)] == [1024, 1024, 1280, 1280]


# -- JSON and hash ---------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("width", [0.35, 1.0, 1.25])
def test_json_there_and_back(name, width):
    spec = resolve(name, width)
    again = NetworkSpec.from_json(spec.to_json())
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.hash == spec.hash


def edited(**changes: object) -> str:
    return json.dumps(json.loads(SMALL.to_json()) | changes)


def without(field: str) -> str:
    tree = json.loads(SMALL.to_json())
    del tree[field]
    return json.dumps(tree)


def with_first_block(**changes: object) -> str:
    tree = json.loads(SMALL.to_json())
    tree["blocks"][0] |= changes
    return json.dumps(tree)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "A network spec must be JSON"),
        ("[]", r"spec must be an object, not \[\]"),
        (edited(depth=3), "spec has an unknown field 'depth'"),
        (with_first_block(groups=2), r"spec.blocks\[0\] has an unknown field 'groups'"),
        (without("hidden"), "spec lacks the field 'hidden'"),
        (edited(hidden="1024"), "spec.hidden must be int, not '1024'"),
        (edited(hidden=1024.0), "spec.hidden must be int, not 1024.0"),
        (edited(hidden=True), "spec.hidden must be int, not True"),
        (edited(name=None), "spec.name must be str, not None"),
        (edited(blocks={}), r"spec.blocks must be a list, not \{\}"),
        (edited(blocks=[3]), r"spec.blocks\[0\] must be an object, not 3"),
        (edited(blocks=[]), "blocks is .* but must be a list of at least one block"),
        (edited(stem=16), "spec.stem must be an object, not 16"),
        (with_first_block(squeeze=math.nan), r"blocks\[0\].squeeze is nan but must be from 0 to 1"),
        (edited(batch_norm_epsilon=math.inf), "batch_norm_epsilon is inf but must be between"),
        (with_first_block(squeeze=1.5), r"blocks\[0\].squeeze is 1.5 but must be from 0 to 1"),
        (with_first_block(expansion=-16), r"blocks\[0\].expansion is -16 but must be a whole"),
        (with_first_block(filters=0), r"blocks\[0\].filters is 0 but must be a whole"),
        (with_first_block(kernel=4), r"blocks\[0\].kernel is 4 but must be one of 3, 5, 7"),
        (with_first_block(stride=3), r"blocks\[0\].stride is 3 but must be one of 1, 2"),
        (with_first_block(skip=1), r"spec.blocks\[0\].skip must be bool, not 1"),
        (with_first_block(activation="gelu"), r"blocks\[0\].activation is 'gelu' but must be one"),
        (edited(batch_norm_epsilon=0.0), "batch_norm_epsilon is 0.0 but must be between 0 and 1"),
        (edited(gate="tanh"), "gate is 'tanh' but must be one of hard_sigmoid, sigmoid"),
        (edited(padding="valid"), "padding is 'valid' but must be one of same, symmetric"),
        (edited(last_conv=-1), "last_conv is -1"),
        (edited(hidden=-1), "hidden is -1 but must be a whole number of at least 0"),
    ],
)
def test_what_is_no_valid_spec(text, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        NetworkSpec.from_json(text)
    assert "\n" not in str(caught.value)


def test_fields_with_a_default_may_be_left_out():
    tree = json.loads(SMALL.to_json())
    for field in ("stem", "gate", "padding", "resolution", "num_classes"):
        del tree[field]
    assert NetworkSpec.from_json(json.dumps(tree)) == SMALL


def test_a_whole_number_will_do_for_a_real_one():
    assert NetworkSpec.from_json(with_first_block(squeeze=0)).blocks[0].squeeze == 0.0


def test_the_hashes_of_networks_never_change():
    """Latency tables and journals of searches are kept under them."""
    assert LARGE.hash == "91cfbcdf9e546294"
    assert SMALL.hash == "5a1727db83701eb4"
    assert make_detector(LARGE).hash == "9f3967977437d297"
    assert make_segmenter(SMALL, (64, 64), 1.0, half_tail=False).hash == "8f246c81eb2f7dae"


def test_the_hash_is_that_of_the_network_and_not_of_its_name():
    assert LARGE.replace(name="another").hash == LARGE.hash
    members = [resolve(name, width) for name in NETWORKS for width in (0.5, 1.0)]
    variants = [
        LARGE.replace(resolution=192),
        LARGE.replace(num_classes=10),
        LARGE.replace(padding="symmetric"),
        LARGE.with_expansion(3, 64),
        LARGE.with_block(2, skip=False),
    ]
    assert len({spec.hash for spec in members + variants}) == len(members) + len(variants)


def test_a_block_without_skip_adds_nothing():
    spec = LARGE.with_block(2, skip=False)
    assert NetworkSpec.from_json(spec.to_json()) == spec
    assert "skip" in spec.to_json()
    assert "skip" not in LARGE.to_json()  # its text is what it was before there were skips
    residuals = [[p.residual for p in s.placed_blocks()] for s in (LARGE, spec)]
    assert [i for i, (a, b) in enumerate(zip(*residuals, strict=True)) if a != b] == [2]
    assert (cost(spec).params, cost(spec).madds) == (cost(LARGE).params, cost(LARGE).madds)
    assert spec.bottleneck_group(1) == (1,)  # each has its own size now
    assert spec.with_bottleneck(1, 32).blocks[2].filters == 24


def test_a_skip_is_true_or_false():
    with pytest.raises(UserError, match=r"blocks\[0\].skip is 1 but must be True or False"):
        LARGE.with_block(0, skip=1)


def test_specs_and_costs_need_no_tensorflow():
    code = "import sys, mnv3_tf.networks.spec, mnv3_tf.cost; assert 'tensorflow' not in sys.modules"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


# -- edits -----------------------------------------------------------------------------------


def test_one_expansion():
    found = LARGE.with_expansion(4, 96)
    assert found.blocks[4] == dataclasses.replace(LARGE.blocks[4], expansion=96)
    assert found.blocks[:4] + found.blocks[5:] == LARGE.blocks[:4] + LARGE.blocks[5:]
    assert LARGE.blocks[4].expansion == 120


def test_expansions_that_cannot_be_resized():
    with pytest.raises(UserError, match="Block 0 of large has no expansion convolution"):
        LARGE.with_expansion(0, 24)
    for index in (-1, 15):
        with pytest.raises(UserError, match=f"large has blocks 0 to 14, not {index}"):
            LARGE.with_expansion(index, 24)


@pytest.mark.parametrize(
    ("spec", "groups"),
    [
        (LARGE, [(1, 2), (3, 4, 5), (6, 7, 8, 9), (10, 11), (12, 13, 14)]),
        (SMALL, [(0,), (1, 2), (3, 4, 5), (6, 7), (8, 9, 10)]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_bottlenecks_that_share_a_residual(spec, groups):
    found = {spec.bottleneck_group(i) for i in range(len(spec.blocks)) if spec.name != "large" or i}
    assert sorted(found) == groups


def test_a_bottleneck_bound_to_the_stem_is_the_stems_matter():
    with pytest.raises(UserError, match="block 0 of large is bound to the stem"):
        LARGE.with_bottleneck(0, 24)


@EVERY
def test_a_resized_bottleneck_keeps_every_residual(name):
    spec = resolve(name)
    residuals = [placed.residual for placed in spec.placed_blocks()]
    for index in range(1, len(spec.blocks)):
        found = spec.with_bottleneck(index, 48)
        assert found.blocks[index].filters == 48
        kept = [placed.residual for placed in found.placed_blocks()]
        # Where neighbours happen to get one size, a residual may appear but none may go.
        assert all(now or not before for now, before in zip(kept, residuals, strict=True))


def test_an_edit_that_breaks_nothing_else():
    found = LARGE.with_bottleneck(7, 72)
    assert [b.filters for b in found.blocks[6:10]] == [72] * 4
    assert [b.expansion for b in found.blocks] == [b.expansion for b in LARGE.blocks]


@pytest.mark.parametrize("name", ["large", "small", "v2"])
def test_a_stem_keeps_a_first_block_without_expansion(name):
    spec = resolve(name)
    found = spec.with_stem(24, "relu")
    assert (found.stem.filters, found.stem.activation) == (24, "relu")
    assert not next(found.placed_blocks()).has_expansion
    assert found.with_stem(spec.stem.filters, spec.stem.activation) == spec
    assert found.with_stem(16).stem.activation == "relu"


def test_activations_from_a_block_on():
    assert LARGE.with_activation("hard_swish", 6).with_stem(16, "hard_swish") == LARGE
    everywhere = LARGE.with_activation("swish")
    assert {everywhere.stem.activation, everywhere.last_activation} == {"swish"}
    assert {block.activation for block in everywhere.blocks} == {"swish"}
    assert cost(everywhere).params == cost(LARGE).params
    late = LARGE.with_activation("hard_swish", 10)
    assert [b.activation for b in late.blocks] == ["relu"] * 10 + ["hard_swish"] * 5
    assert (late.stem.activation, late.last_activation) == ("relu", "hard_swish")


def test_without_squeeze_excite():
    bare = LARGE.without_squeeze_excite()
    assert all(placed.squeeze_width == 0 for placed in bare.placed_blocks())
    gates = [op for op in cost(LARGE).operators if "squeeze_excite" in op.name]
    assert cost(LARGE).params - cost(bare).params == sum(op.params for op in gates)


def test_squeeze_widths_are_quarters_of_the_expansion_rounded_to_8():
    widths = [p.squeeze_width for p in LARGE.placed_blocks() if p.squeeze_width]
    assert widths == [24, 32, 32, 120, 168, 168, 240, 240]
    assert [p.squeeze_width for p in SMALL.placed_blocks()][:4] == [8, 0, 0, 24]
    mnasnet = [p.squeeze_width for p in resolve("mnasnet_a1").placed_blocks() if p.squeeze_width]
    assert mnasnet == [6, 10, 10, 20, 28, 28, 40, 40]


def test_the_old_last_stage_costs_what_the_paper_saves():
    """Section 5.1: the redesign saves 30 M multiply-adds."""
    saved = cost(LARGE.with_old_last_stage()).madds - cost(LARGE).madds
    assert saved == pytest.approx(30e6, rel=0.2)
    with pytest.raises(UserError, match="v2 has the old last stage already"):
        resolve("v2").with_old_last_stage()


def test_the_wide_stem_costs_what_the_paper_saves():
    """Section 5.1: 16 filters instead of 32 save 10 M multiply-adds."""
    assert cost(LARGE.with_stem(32)).madds - cost(LARGE).madds == pytest.approx(10e6, rel=0.1)


def test_a_hidden_layer_may_have_an_activation_of_its_own():
    spec = resolve("v2").replace(hidden=100, hidden_activation="relu")
    activations = {op.role: op.activation for op in cost(spec).operators}
    assert (activations["last_conv"], activations["hidden"]) == ("relu6", "relu")
    assert NetworkSpec.from_json(spec.to_json()) == spec
    assert "hidden_activation" not in resolve("v2").to_json()


# -- placement -------------------------------------------------------------------------------


def test_output_strides_and_dilations_of_large():
    def placed(output_stride: int) -> list[tuple[int, int, int]]:
        return [(p.stride, p.dilation, p.output_stride) for p in LARGE.placed_blocks(output_stride)]

    start = [(1, 1, 2), (2, 1, 4), (1, 1, 4), (2, 1, 8), (1, 1, 8), (1, 1, 8)]
    middle = [(2, 1, 16)] + [(1, 1, 16)] * 5
    assert placed(32) == [*start, *middle, (2, 1, 32), (1, 1, 32), (1, 1, 32)]
    # The block that would have strided keeps the old rate, as in DeepLab.
    assert placed(16) == [*start, *middle, (1, 1, 16), (1, 2, 16), (1, 2, 16)]
    assert placed(8) == [*start, (1, 1, 8), *[(1, 2, 8)] * 6, (1, 4, 8), (1, 4, 8)]


@EVERY
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_no_residual_depends_on_the_output_stride(name, output_stride):
    spec = resolve(name)
    found = list(spec.placed_blocks(output_stride))
    assert found[-1].output_stride == output_stride
    assert [p.residual for p in found] == [p.residual for p in spec.placed_blocks()]
    assert cost(spec, output_stride).params == cost(spec).params


def test_other_output_strides_are_refused():
    with pytest.raises(UserError, match="Output stride 4 is not one of 8, 16, 32"):
        list(LARGE.placed_blocks(4))
