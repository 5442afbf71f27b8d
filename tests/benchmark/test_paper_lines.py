"""The paper's tables in a terminal."""

from benchmark import paper, paper_lines

LINE = {
    "name": "large",
    "quantize": "none",
    "full_pace_us": 20_000.0,
    "ci_us": [19_000.0, 22_000.0],
    "ratio": 1.2345,
    "madds": 216_590_000,
    "params": 5_483_032,
    "top1": 75.24,
    "top1_origin": "published",
    "published": {"pixel_ms": [51, 61.5]},
}


def test_a_line_has_milliseconds_half_widths_and_millions():
    """± is half of the interval, in percent of the time."""
    assert paper_lines.columns("classify") == (
        *("network", "kind", "ms", "± %", "ratio", "MAdds", "params"),
        *("top-1", "P-1", "P-2", "P-3"),
    )
    cells = ("large", "float", "20.00", "7.5", "1.234", "216.6", "5.48", "75.2", "51", "61.5", "-")
    assert paper_lines.line(LINE, "classify") == cells
    assert paper_lines.line(LINE, "classify", wide=False) == cells[:9]
    judged = LINE | {"top1_origin": "measured on 500 pictures", "quantize": "int8"}
    assert paper_lines.line(judged, "classify")[7] == "75.2*"
    assert paper_lines.line(judged, "classify")[1] == "int8"
    assert paper_lines.line(LINE | {"top1": None, "top1_origin": None}, "classify")[7] == "-"
    assert paper_lines.line(LINE | {"published": {}}, "classify")[8:] == ("-", "-", "-")


def test_lines_of_other_tasks_have_billions_and_published_sizes_in_brackets():
    published = {"madds_b": 9.74, "params_m": None, "miou": 72.36, "test_miou": 72.6}
    row = LINE | {"full_madds": 9_370_000_000, "published": published | {"pixel_ms": [657]}}
    cells = ("9.37 (9.74)", "5.48 (-)", "72.4", "72.6", "657")
    assert paper_lines.line(row, "segment")[5:] == cells
    assert paper_lines.line(row, "segment", wide=False)[5:] == ("9.37", "5.48", "72.4", "657")
    assert paper_lines.columns("segment")[7:] == ("mIoU", "test", "P-3")
    assert paper_lines.columns("segment", wide=False)[7:] == ("mIoU", "P-3")
    row = LINE | {"published": {"madds_b": 0.51, "params_m": 3.22, "map": 22.0, "pixel_ms": [119]}}
    cells = ("0.22 (0.51)", "5.48 (3.22)", "22.0", "119")
    assert paper_lines.line(row, "detect")[5:] == cells
    assert paper_lines.columns("detect")[7:] == ("mAP", "P-1")


def test_each_task_is_explained_once():
    told = paper_lines.explanation(["detect", "classify", "detect"])
    assert told.count("Detection: MAdds in billions") == 1
    assert told.index("Detection") < told.index("MAdds: millions")
    assert "Segmentation" not in told


def test_a_title_tells_the_processor_and_the_threads():
    result = {"title": "T", "machine": {"cpu": "C"}, "settings": {"threads": 1}}
    assert paper.title(result) == "T (C, 1 thread)"
    assert paper.title(result | {"settings": {"threads": 2}}) == "T (C, 2 threads)"
