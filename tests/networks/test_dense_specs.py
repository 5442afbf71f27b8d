"""SSDLite, R-ASPP and LR-ASPP: the paper's counts to the unit, and specs as values."""

import json

import pytest

from mnv3_tf.errors import UserError
from mnv3_tf.networks.cost import cost, operators
from mnv3_tf.networks.lraspp import SegmenterSpec
from mnv3_tf.networks.ssdlite import DetectorSpec
from mnv3_tf.tasks import specs
from mnv3_tf.tasks.specs import for_phones, resolve_spec
from mnv3_tf.tasks.task import Head, parse_resolution

# model, width, tail, classes: trainable parameters, multiply-adds (Table 6 at 320x320).
TABLE_6 = [
    ("large", 1.0, "full", 90, 5_006_735, 613_143_104),
    ("large", 1.0, "half", 90, 3_248_255, 506_563_904),
    ("small", 1.0, "full", 90, 2_518_271, 210_417_856),
    ("small", 1.0, "half", 90, 1_785_743, 162_303_424),
    ("v2", 0.5, "full", 90, 1_562_111, 272_348_896),
    ("v2", 0.35, "full", 90, 947_709, 166_713_786),
    ("v2", 1.0, "full", 80, 4_337_013, 788_830_144),
    ("v2", 1.0, "full", 90, 4_500_543, 804_397_504),
    ("mnasnet_a1", 1.0, "full", 90, 4_912_181, 837_819_232),
    ("mnasnet_a1", 0.5, "full", 90, 1_690_173, 290_408_224),
    ("mnasnet_a1", 0.35, "full", 90, 1_032_335, 177_387_738),
]

# model, width, tail, head, filters: parameters, multiply-adds at 1024x2048 and at 1025x2049.
TABLE_7 = [
    ("v2", 1.0, "full", "raspp", 256, 2_113_043, 20_826_898_432, 21_233_054_912),
    ("v2", 1.0, "half", "raspp", 256, 1_159_123, 13_401_628_672, 13_632_849_952),
    ("v2", 1.0, "half", "lraspp", 256, 1_030_950, 12_567_085_056, 12_775_593_568),
    ("v2", 1.0, "half", "lraspp", 128, 987_174, 12_319_539_200, 12_523_035_872),
    ("large", 1.0, "full", "raspp", 256, 3_600_963, 17_790_648_192, 18_155_973_384),
    ("large", 1.0, "half", "raspp", 256, 1_762_435, 10_830_137_472, 11_031_499_128),
    ("large", 1.0, "half", "lraspp", 256, 1_632_894, 9_951_012_992, 10_129_626_720),
    ("large", 1.0, "half", "lraspp", 128, 1_507_198, 9_367_758_976, 9_533_209_824),
    ("v2", 0.5, "half", "lraspp", 128, 282_598, 3_899_826_176, 3_958_309_024),
    ("v2", 0.35, "half", "lraspp", 128, 168_502, 2_461_822_976, 2_496_780_112),
    ("small", 1.0, "half", "lraspp", 128, 468_830, 2_729_180_928, 2_780_080_960),
]

# model, output stride: multiply-adds at 1024x2048 and at 512x1024.
TABLE_8 = [
    ("large", 16, 9_367_758_976, 2_342_426_752),
    ("large", 32, 7_447_144_576, 1_862_150_272),
    ("small", 16, 2_729_180_928, 682_430_208),
    ("small", 32, 1_925_398_272, 481_410_816),
]

# By part of the network at 90 classes: backbone, extra maps, box heads, class heads.
PARTS = {
    ("large", "full"): [
        (2_971_952, 435_331_200),
        (575_040, 30_358_976),
        (89_508, 9_349_248),
        (1_370_235, 138_103_680),
    ],
    ("small", "half"): [
        (438_704, 87_749_120),
        (403_008, 13_155_776),
        (57_156, 3_906_048),
        (886_875, 57_492_480),
    ],
}


@pytest.mark.parametrize(("model", "width", "tail", "classes", "params", "madds"), TABLE_6)
def test_table_6(model, width, tail, classes, params, madds):
    found = cost(resolve_spec("detect", model, width, num_classes=classes, head=Head(tail)))
    assert (found.params, found.madds) == (params, madds)


@pytest.mark.parametrize(("named", "expected"), PARTS.items())
def test_parts_of_a_detector(named, expected):
    model, tail = named
    spec = resolve_spec("detect", model, num_classes=90, head=Head(tail))
    sums: dict[str, list[int]] = {}
    for op in operators(spec):
        heads = ("extras", "box_head", "class_head")
        part = sums.setdefault(op.stage if op.stage in heads else "backbone", [0, 0])
        part[0], part[1] = part[0] + op.params, part[1] + op.madds
    assert [tuple(part) for part in sums.values()] == expected


@pytest.mark.parametrize(
    ("model", "width", "tail", "head", "filters", "params", "madds", "of_crop"), TABLE_7
)
def test_table_7(model, width, tail, head, filters, params, madds, of_crop):
    for resolution, expected in (((1024, 2048), madds), ((1025, 2049), of_crop)):
        options = Head(tail, head, filters)
        found = cost(resolve_spec("segment", model, width, resolution, 19, options))
        assert (found.params, found.madds) == (params, expected)


@pytest.mark.parametrize(("model", "stride", "full", "half"), TABLE_8)
def test_table_8(model, stride, full, half):
    for resolution, expected in (((1024, 2048), full), ((512, 1024), half)):
        spec = resolve_spec("segment", model, 1.0, resolution, 19, Head(output_stride=stride))
        assert cost(spec).madds == expected


def test_a_detector_of_one_class_tells_it_from_the_background():
    spec = resolve_spec("detect", "small", 0.35, 96, num_classes=1)
    assert spec.graph().shapes["class_logits"] == (len(spec.anchors()), 2)


def test_anchors_of_the_released_detectors():
    spec = resolve_spec("detect", "large")
    assert spec.map_sizes == ((20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
    assert spec.anchors_per_cell() == [3, 6, 6, 6, 6, 6]
    assert spec.anchors().shape == (2034, 4)
    assert operators(spec)[-1].output == (2034, 1001)


@pytest.mark.parametrize(
    ("model", "c4", "channels"),
    [
        ("large", "expanded_conv_12_expand", 672),
        ("small", "expanded_conv_8_expand", 288),
        ("v2", "expanded_conv_13_expand", 576),
    ],
)
def test_c4_keeps_its_channels_where_the_tail_is_halved(model, c4, channels):
    for tail in ("full", "half"):
        spec = resolve_spec("detect", model, head=Head(tail))
        assert spec.c4(spec.graph()) == c4
        found = {op.name: op for op in operators(spec)}
        assert found["box_0_depthwise"].input == (20, 20, channels)


@pytest.mark.parametrize(
    ("model", "skip", "channels"),
    [
        ("large", "expanded_conv_5_depthwise", 120),
        ("small", "expanded_conv_2_depthwise", 88),
        ("v2", "expanded_conv_5_depthwise", 192),
    ],
)
def test_the_skip_is_a_depthwise_output_at_stride_8(model, skip, channels):
    spec = resolve_spec("segment", model, 1.0, (512, 1024), 19)
    assert spec.skip(spec.graph()) == skip
    assert {op.name: op for op in operators(spec)}["skip_logits"].input == (64, 128, channels)


@pytest.mark.parametrize(
    ("resolution", "kind", "output"),
    [
        ((1024, 2048), "average_pool", (1, 4)),
        ((1025, 2049), "average_pool", (2, 5)),
        ((512, 1024), "average_pool", (1, 1)),
        ((769, 769), "mean", (1, 1)),
        ((360, 480), "mean", (1, 1)),
    ],
)
def test_the_pooling_window_is_clamped_to_the_map(resolution, kind, output):
    spec = resolve_spec("segment", "small", 1.0, resolution, 19)
    pool = {op.name: op for op in operators(spec)}["pool"]
    assert (pool.kind, pool.output[:2]) == (kind, output)
    everywhere = {op.name: op for op in operators(spec.replace(pooling="global"))}["pool"]
    assert everywhere.kind == "mean"


def test_phones_get_the_same_weights_and_fewer_multiply_adds():
    spec = resolve_spec("segment", "large", 1.0, (512, 1024), 19)
    ours, theirs = cost(spec), cost(for_phones(spec))
    assert theirs.params == ours.params
    assert ours.madds - theirs.madds == 128 * 19 * (64 * 128 - 32 * 64)  # logits at stride 16
    assert for_phones(resolve_spec("detect", "small")) == resolve_spec("detect", "small")


@pytest.mark.parametrize("task", specs.TASKS)
def test_json_round_trip(task):
    spec = resolve_spec(task, "small", 0.75, 128, 7)
    again = specs.from_json(spec.to_json())
    assert again == spec
    assert again.hash == spec.hash
    assert spec.replace(num_classes=8).hash != spec.hash
    renamed = spec.with_backbone(spec.backbone.replace(name="other"))
    assert renamed.hash == spec.hash


def test_hashes_tell_the_tasks_apart():
    assert len({resolve_spec(task, "small", 1.0, 224, 5).hash for task in specs.TASKS}) == 3


def test_a_spec_file_is_of_its_task(tmp_path):
    spec = resolve_spec("segment", "small", 1.0, (96, 128), 3)
    (tmp_path / "spec.json").write_text(spec.to_json())
    path = str(tmp_path / "spec.json")
    assert resolve_spec("segment", path) == spec
    changed = resolve_spec("segment", path, resolution=(64, 96), num_classes=4)
    assert (changed.image_size, changed.num_classes) == ((64, 96), 4)
    with pytest.raises(UserError, match="a spec of --task=segment, not of --task=detect"):
        resolve_spec("detect", path)
    with pytest.raises(UserError, match=r"leave out --width=0.5"):
        resolve_spec("segment", path, 0.5)


def test_a_classification_spec_is_a_backbone_of_any_task(tmp_path):
    network = resolve_spec("classify", "small").with_expansion(4, 200)
    (tmp_path / "searched.json").write_text(network.to_json())
    path = str(tmp_path / "searched.json")
    detector = resolve_spec("detect", path, head=Head("full"))
    assert isinstance(detector, DetectorSpec)
    assert detector.backbone.blocks == network.blocks
    segmenter = resolve_spec("segment", path, head=Head("full"))
    assert isinstance(segmenter, SegmenterSpec)
    assert segmenter.backbone.blocks == network.blocks


def test_weights_to_start_from_keep_the_tail_whole():
    for task in ("detect", "segment"):
        whole = resolve_spec(task, "small", pretrained=True)
        assert whole == resolve_spec(task, "small", head=Head("full"))
        assert whole != resolve_spec(task, "small")


@pytest.mark.parametrize(
    ("text", "found"), [(None, None), ("224", 224), ("360x480", (360, 480)), ("96X128", (96, 128))]
)
def test_resolutions(text, found):
    assert parse_resolution(text) == found


@pytest.mark.parametrize("text", ["", "x", "12x", "axb", "1x2x3", "-5", "22.5"])
def test_what_is_no_resolution(text):
    with pytest.raises(UserError, match=f"--resolution={text} must be"):
        parse_resolution(text)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: resolve_spec("paint", "small"), "--task=paint is not one of classify"),
        (lambda: resolve_spec("detect", "small", resolution=(96, 128)), "is not square"),
        (lambda: resolve_spec("segment", "small", resolution=16), "height of a segmentation"),
        (lambda: Head("quarter"), "--tail=quarter is not one of auto, full, half"),
        (lambda: Head(output_stride=8), "--output_stride=8 is not one of 16, 32"),
        (lambda: Head(head="fcn"), "--head=fcn"),
        (lambda: Head(pooling="max"), "--pooling=max"),
        (lambda: resolve_spec("segment", "small", head=Head(head_filters=0)), "filters of a"),
        (lambda: resolve_spec("detect", "small").replace(scales=(0.5, 0.2)), "scales of a detec"),
        (lambda: resolve_spec("detect", "small").replace(scores="tanh"), "scores of a detector"),
        (lambda: resolve_spec("detect", "small").replace(extra_filters=()), "extra_filters of"),
        (lambda: specs.from_json('{"task": "paint"}'), "task is 'paint'"),
        (lambda: specs.from_json("[]"), "must be an object"),
        (lambda: specs.from_json("{"), "must be JSON"),
    ],
)
def test_bad_specs_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_a_spec_with_a_wrong_field_names_its_place():
    tree = json.loads(resolve_spec("detect", "small").to_json())
    tree["backbone"]["stem"]["filters"] = "many"
    with pytest.raises(UserError, match=r"spec.backbone.stem.filters must be int"):
        specs.from_json(json.dumps(tree))
