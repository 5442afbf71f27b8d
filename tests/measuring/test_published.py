"""The paper's figures, against a second transcript of its tables."""

import pytest

from benchmark import paper_tables
from mnv3_tf.measuring import published
from mnv3_tf.measuring.published import find

TABLE_3 = """
large               1    75.2  51   61   44
large               0.75 73.3  39   46   40
mnasnet_a1          1    75.2  71   86   61
v2                  1    72.0  64   76   56
small               1    67.4  15.8 19.4 14.4
small               0.75 65.4  12.8 15.6 11.7
v2                  0.35 60.8  16.6 19.6 13.9
"""
TABLE_4 = """
large               1    73.8  44   42.5 31.7
v2                  1    70.9  52   48.3 37.0
small               1    64.9  15.5 14.9 10.7
v2                  0.35 57.2  16.7 15.6 11.9
"""
SLIM = """
large_minimalistic  1    none 72.3 44.1 51   35
small_minimalistic  1    none 61.9 12.2 15.1 11
large_minimalistic  1    int8 71.3 37   35   27
"""
TABLE_9 = """
large 224 1.25  76.6 77.0
large 224 1     75.2 51.2
large 224 0.75  73.3 39.8
large 224 0.5   68.8 21.7
large 224 0.35  64.2 15.1
large 256 1     76.0 65.6
large 192 1     73.7 38.0
large 160 1     71.7 27.8
large 128 1     68.4 17.8
large 96  1     63.3 12.5
small 224 1.25  70.4 23.6
small 224 1     67.5 15.8
small 224 0.75  65.4 12.8
small 224 0.5   58.0 7.7
small 224 0.35  49.8 5.7
small 256 1     68.5 20.0
small 160 1     62.8 8.6
small 128 1     57.3 5.8
small 96  1     51.7 4.4
"""
TABLE_5 = """
relu only            74.5 50.5 50.5
h-swish from 112     75.0 51   54.4
h-swish from 80      75.2 51.4 57.5
h-swish everywhere   75.4 53.5 68.9
"""
TABLE_6 = """
v2         1    full 22.1 162 4.3  .80
mnasnet_a1 1    full 23.0 174 4.88 .84
large      1    full 22.0 137 4.97 .62
large      1    half 22.0 119 3.22 .51
v2         0.35 full 13.7 66  .93  .16
v2         0.5  full 16.6 79  1.54 .27
mnasnet_a1 0.35 full 15.6 68  1.02 .18
mnasnet_a1 0.5  full 18.5 85  1.68 .29
small      1    full 16.0 52  2.49 .21
small      1    half 16.1 43  1.77 .16
"""
TABLE_7 = """
v2    1    full raspp  256 72.84 2.11 21.29 3900 1020
v2    1    half raspp  256 72.56 1.15 13.68 3030 793
v2    1    half lraspp 256 72.97 1.02 12.83 2980 786
v2    1    half lraspp 128 72.74 .98  12.57 2890 766
large 1    full raspp  256 72.64 3.60 18.43 3550 906
large 1    half raspp  256 71.91 1.76 11.24 2600 668
large 1    half lraspp 256 72.37 1.63 10.33 2550 659
large 1    half lraspp 128 72.36 1.51 9.74  2470 657
v2    0.5  half lraspp 128 68.57 .28  4.00  1590 415
v2    0.35 half lraspp 128 66.83 .16  2.54  1270 354
small 1    half lraspp 128 68.38 .47  2.90  1210 327
"""
TABLE_8 = """
large 16 72.6 9.74 2470 657
large 32 72.0 7.74 2060 534
small 16 69.4 2.90 1210 327
small 32 68.3 2.06 1030 275
"""


def rows(text: str, words: int) -> list[tuple]:
    """The first `words` of each line as they are, what follows as numbers."""
    lines = [line.split() for line in text.strip().splitlines()]
    return [(*line[:words], *map(float, line[words:])) for line in lines]


@pytest.mark.parametrize(
    ("text", "quantize", "source"), [(TABLE_3, "none", "Table 3"), (TABLE_4, "int8", "Table 4")]
)
def test_tables_3_and_4(text, quantize, source):
    for network, width, top1, *pixel_ms in rows(text, 1):
        found = find(network, width, quantize)
        assert (found.top1, list(found.pixel_ms), found.source) == (top1, pixel_ms, source)
        assert found.resolution == 224
    told = [row for row in published.ROWS if row.source == source]
    assert len(told) == len(rows(text, 1))


def test_minimalistic_networks_are_of_the_authors_code():
    for network, _, quantize, top1, *pixel_ms in rows(SLIM, 3):
        found = find(network, 1.0, quantize)
        assert (found.top1, list(found.pixel_ms), found.source) == (top1, pixel_ms, "TF-slim")
    assert len([row for row in published.ROWS if row.source == "TF-slim"]) == 3
    assert find("small_minimalistic", 1.0, "int8") is None


def test_table_9():
    told = {
        (row.network, row.resolution, row.width): (row.top1, *row.pixel_ms, row.source)
        for row in published.MULTIPLIER_ROWS
    }
    assert told == {
        (network, size, width): (top1, ms, "Table 9")
        for network, size, width, top1, ms in rows(TABLE_9, 1)
    }
    assert {row.quantize for row in published.MULTIPLIER_ROWS} == {"none"}
    # Tables 3 and 4 count where it says the same again, and it where they say nothing.
    assert find("large", 1.0, "none").source == "Table 3"
    assert find("large", 0.5, "none").source == "Table 9"
    assert find("small", 1.0, "none", 160).pixel_ms == (8.6,)
    assert find("small", 1.0, "none", 192) is None
    assert find("large", 1.0, "int8", 192) is None
    assert published.WIDTHS == (0.35, 0.5, 0.75, 1.0, 1.25)
    assert published.RESOLUTIONS == (96, 128, 160, 192, 224, 256)


def test_the_family_has_each_network_and_width_once():
    family = [(network, width) for network, width, *_ in rows(TABLE_3, 1)]
    assert list(published.FAMILY) == [
        *family,
        ("large_minimalistic", 1.0),
        ("small_minimalistic", 1.0),
        ("v4_conv_small", 1.0),
    ]


def test_table_5():
    """The optimised h-swish is the fused one; int8 has no published figures."""
    lines = [line.rsplit(maxsplit=3) for line in TABLE_5.strip().splitlines()]
    expected = {label: tuple(map(float, numbers)) for label, *numbers in lines}
    assert {label: row[1:] for label, row in paper_tables.PLACEMENTS.items()} == expected
    for row in paper_tables.hard_swish():
        top1, optimised, naive = expected[row.label]
        pixel_ms = {None: [optimised], "fused": [optimised], "naive": [naive]}
        figures = {"top1": top1, "source": "Table 5"}
        if row.hard_swish != "composite":
            figures["pixel_ms"] = pixel_ms[row.hard_swish]
        assert row.published == ({} if row.quantize == "int8" else figures), row.name


def test_section_5():
    told = {row.label: row.published for row in paper_tables.redesigns() if row.quantize == "none"}
    assert {label: figures.get("change") for label, figures in told.items()} == {
        "large": None,
        "old last stage": "+7 ms, +30 M MAdds on Pixel 1",
        "stem of 32, relu": "+2 ms, +10 M MAdds on Pixel 1",
        "no squeeze-excite": "no discernible latency cost",
    }
    assert {figures.get("source") for figures in told.values()} == {None, "section 5"}
    assert not any(row.published for row in paper_tables.redesigns() if row.quantize == "int8")


def test_table_6():
    told = {
        (row.network, row.width, row.tail): (row.mean_ap, row.pixel1_ms, row.params_m, row.madds_b)
        for row in published.DETECTORS
    }
    expected = {
        (network, float(width), tail): tuple(figures)
        for network, width, tail, *figures in rows(TABLE_6, 3)
    }
    assert told == expected
    assert published.COCO_CLASSES == 90
    for row in paper_tables.detection():
        words = row.label.split()
        key = (
            words[0],
            float(words[1]) if words[1:] and words[1] != "half" else 1.0,
            "half" if words[-1] == "half" else "full",
        )
        mean_ap, ms, params_m, madds_b = expected[key]
        figures = {"params_m": params_m, "madds_b": madds_b, "source": "Table 6"}
        if row.quantize == "none":
            figures |= {"map": mean_ap, "pixel_ms": [ms]}
        assert row.published == figures
        assert row.spec.num_classes == 90


def test_tables_7_and_8():
    key_of = ("network", "width", "tail", "head", "filters", "output_stride")
    told = {tuple(getattr(row, name) for name in key_of): row for row in published.SEGMENTERS}
    assert len(told) == len(published.SEGMENTERS) == 11 + 2
    for network, width, tail, head, filters, miou, params_m, madds_b, full, half in rows(
        TABLE_7, 4
    ):
        row = told[network, float(width), tail, head, filters, 16]
        assert (row.miou, row.params_m, row.madds_b) == (miou, params_m, madds_b)
        assert (row.pixel3_ms, row.pixel3_half_ms, row.source) == (full, half, "Table 7")
    for network, stride, test_miou, madds_b, full, half in rows(TABLE_8, 1):
        row = told[network, 1.0, "half", "lraspp", 128, stride]
        assert (row.test_miou, row.madds_b) == (test_miou, madds_b)
        assert (row.pixel3_ms, row.pixel3_half_ms) == (full, half)
        assert row.source == ("Table 7" if stride == 16 else "Table 8")
        if stride == 32:
            assert (row.miou, row.params_m) == (None, None)
    assert sum(row.test_miou is not None for row in published.SEGMENTERS) == 4
    assert (published.CITYSCAPES_CLASSES, published.CITYSCAPES_SIZE) == (19, (1024, 2048))
    assert published.HALF_SIZE == (512, 1024)


@pytest.mark.parametrize("size", [(512, 1024), (1024, 2048)])
def test_segmentation_networks_are_those_of_their_rows(size):
    made = [row for row in paper_tables.segmentation(size) if row.quantize == "none"]
    assert len(made) == len(published.SEGMENTERS)
    for row, told in zip(made, published.SEGMENTERS, strict=True):
        ms = told.pixel3_ms if size == (1024, 2048) else told.pixel3_half_ms
        assert row.published["pixel_ms"] == [ms]
        assert (row.published["miou"], row.published["test_miou"]) == (told.miou, told.test_miou)
        assert row.published["source"] == told.source
        assert (row.spec.image_size, row.spec.num_classes) == (size, 19)
        assert (row.spec.head, row.spec.filters) == (told.head, told.filters)
        assert row.spec.output_stride == told.output_stride
        assert ("full" in row.label) == (told.tail == "full")
        assert ("OS 32" in row.label) == (told.output_stride == 32)
        assert f"{'R' if told.head == 'raspp' else 'LR'} {told.filters}" in row.label


def test_a_later_network_is_not_of_the_paper():
    found = find("v4_conv_small", 1.0, "none")
    assert (found.top1, found.pixel_ms, found.source) == (73.8, (), "MobileNetV4's paper")
    assert "v4_conv_small is not of the paper" in paper_tables.TABLES["networks"].note
