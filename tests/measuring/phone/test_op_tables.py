"""The operator profile in every layout."""

from collections.abc import Callable

import pytest
from phones.known_logs import read

from mnv3_tf.measuring.phone import op_tables

HEAD = "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"
ORDER = "===== Run Order ====="


def rows_of(name: str) -> list:
    return op_tables.parse(read(name).splitlines())


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
    text = read("profile.txt")
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


TOP = "===== Top by Computation Time ====="
TYPES = "===== Summary by node type ====="
TYPES_HEAD = (
    "\t[Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"
)
SUMMED = "\t   CONV_2D\t       15\t    38.265\t    58.415%\t    58.415%\t     0.000\t       30"
END = "Number of nodes executed: 31"


def row(kind: str) -> str:
    return f"\t{kind}\t0.1\t0.2\t50.0%\t50.0%\t0.000\t1\t[x]:0"


@pytest.mark.parametrize("widen", [str, str.expandtabs], ids=["tabs", "spaces"])
def test_the_best_table_that_there_is_counts(widen: Callable[[str], str]):
    order, top = [ORDER, HEAD, row("ADD")], [TOP, HEAD, row("MUL"), END]
    types = [TYPES, TYPES_HEAD, SUMMED, END]

    def found(lines: list[str]) -> list[str]:
        return [one["type"] for one in op_tables.parse(map(widen, lines))]

    assert found([*order, *top, *types]) == ["ADD"]
    assert found([*top, *types]) == ["MUL"]
    assert found(types) == ["CONV_2D"]
    first = "Profiling Info for Benchmark Initialization:"
    regular = "Operator-wise Profiling Info for Regular Benchmark Runs:"
    assert found([first, *order, *top, *types, regular, *types]) == ["CONV_2D"]


@pytest.mark.parametrize(
    "lines",
    [
        [TYPES, TYPES_HEAD, SUMMED],
        [
            TYPES,
            "node type, count, avg_ms, avg %, cdf %, mem KB, times called",
            "CONV_2D, 15, 38.265, 58.415%, 58.415%, 0, 30",
        ],
    ],
    ids=["tabs", "csv"],
)
def test_a_summary_by_type_has_no_names(lines: list[str]):
    assert op_tables.parse(lines) == [
        {
            "type": "CONV_2D",
            "name": None,
            "first_ms": None,
            "avg_ms": 38.265,
            "percent": 58.415,
            "times_called": 30,
        }
    ]


def test_brackets_in_a_row_make_no_head():
    named = row("ADD").replace("[x]", "[count]")
    (found, *others) = op_tables.parse([ORDER, HEAD, row("LiteRT::Run[Buffer sync]"), named, named])
    assert [other["name"] for other in others] == ["[count]:0"] * 2
    assert (found["type"], found["name"]) == ("LiteRT::Run[Buffer sync]", "[x]:0")


def test_a_log_without_a_profile_has_no_rows():
    assert rows_of("current.txt") == []
