"""The operator profile in every layout."""

from pathlib import Path

import pytest

from android_bench import op_tables

LOGS = Path(__file__).parent / "logs"
HEAD = "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"
ORDER = "===== Run Order ====="


def rows_of(name: str) -> list:
    return op_tables.parse((LOGS / name).read_text().splitlines())


def test_reads_the_regular_runs_and_the_insides_of_a_delegate():
    rows = rows_of("profile.txt")
    assert [row["type"] for row in rows] == [
        "QUANTIZE",
        "TfLiteXNNPackDelegate",
        "SOFTMAX",
        "Convolution (NHWC, QC8) IGEMM",
        "Multiply 2x2",
    ]
    assert rows[1] == {
        "type": "TfLiteXNNPackDelegate",
        "name": "[a/Softmax, b;c/Conv2D]:64",
        "first_ms": 14.8,
        "avg_ms": 14.79,
        "percent": 96.6,
        "times_called": 1,
    }
    assert rows[4]["times_called"] == 13
    assert [row["name"].startswith("Delegate/") for row in rows] == [False] * 3 + [True] * 2


def test_spaces_for_tabs_change_nothing():
    text = (LOGS / "profile.txt").read_text()
    assert op_tables.parse(text.expandtabs(8).splitlines()) == rows_of("profile.txt")


def test_reads_the_old_layout_with_its_start_column():
    rows = rows_of("year_2018.txt")
    assert [(row["type"], row["first_ms"], row["avg_ms"]) for row in rows] == [
        ("CONV_2D", 5.567, 7.237),
        ("SPLIT", 0.015, 0.013),
    ]
    assert rows[1]["name"] == "[cell_0/split, cell_0/split:1, cell_0/split:2]"


def test_reads_csv():
    lines = [
        "============================== Run Order ==============================",
        "node type, first, avg_ms, %, cdf%, mem KB, times called, name",
        "CONV_2D, 1.5, 1.25, 62.5%, 62.5%, 0, 1, [a\t b]:0",
        "Convolution (NHWC, F32) IGEMM, 0.5, 0.75, 37.5%, 100%, 0, 2, Delegate/x:1",
        "============================== Top by Computation Time ==========",
        "node type, first, avg_ms, %, cdf%, mem KB, times called, name",
        "CONV_2D, 1.5, 1.25, 62.5%, 62.5%, 0, 1, [a\t b]:0",
    ]
    first, second = op_tables.parse(lines)
    assert (first["name"], first["percent"], first["avg_ms"]) == ("[a, b]:0", 62.5, 1.25)
    assert (second["type"], second["times_called"]) == ("Convolution (NHWC, F32) IGEMM", 2)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("\tADD\t0.1\t0.2\t-nan%\t-nan%\t0.000\t1\t[x]:0", ("ADD", None, "[x]:0")),
        ("\tADD\t0.1\t0.2\t3.5%\t3.5%\t0.000\t1\t", ("ADD", 3.5, "")),
        (
            "\tMul 2x2 v 2\t0.1\t0.2\t3.5%\t3.5%\t0.000\t1\tan odd name",
            ("Mul 2x2 v 2", 3.5, "an odd name"),
        ),
    ],
)
def test_odd_cells(row: str, expected: tuple):
    (found,) = op_tables.parse([ORDER, HEAD, row])
    assert (found["type"], found["percent"], found["name"]) == expected


def test_noise_between_rows_and_a_lost_head_do_no_harm():
    row = "\tADD\t0.1\t0.2\t50.0%\t50.0%\t0.000\t1\t[x]:0"
    assert (
        len(op_tables.parse([ORDER, "INFO: noise", row, "more, noise, of, some, kind", row])) == 2
    )


def test_a_log_without_a_profile_has_no_rows():
    assert rows_of("current.txt") == []
