"""What people see of the results."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sessions import NASTY, Finished

from mnv3_tf.measuring.phone import models, op_tables, page, plots, report, results
from mnv3_tf.measuring.plots import Bar
from mnv3_tf.measuring.statistics import Headline


@pytest.fixture(scope="module")
def of_two_models(finished: Finished) -> Iterator[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.Model, "xnnpack", None)
        settings = finished.session.settings
        yield results.collect([finished.session], settings, "python -m android_bench run", "29")


@pytest.fixture
def found(of_two_models) -> dict:
    return copy.deepcopy(of_two_models)


# -- tables ------------------------------------------------------------------------------------


def test_a_row_has_the_summarys_numbers_in_the_units_of_its_head(found) -> None:
    one, other = found["summary"]
    one["ci_us"], one["top1"] = [1010, 1040], 0.7
    assert report.columns(found) == list(report.COLUMNS)
    rows = report.summary_rows(found)
    assert dict(zip(report.COLUMNS, rows[0], strict=True)) == {
        "model": one["model"],
        "ms": "1.02",
        "± %": "1.5",  # half of 30 by 1020
        "p95": "1.22",
        "first": "2.04",
        "init": "20.00",
        "ratio": "1.000",
        "MB": "0.50",
        "peak": "40",
        "parts": "3",
        "drift": "+4.0",
        "rounds": "5 (1)",
    }
    assert (rows[1][6], rows[1][-1]) == ("2.000", "5")
    other.update(error_kind="crashed", median_us=None, ci_us=None, ratio=None, delegate=None)
    assert report.summary_rows(found)[1][1:3] == ["crashed", "-"]
    assert report.summary_rows(found)[1][6] == report.summary_rows(found)[1][9] == "-"


def test_phones_and_threads_are_told_where_there_are_several(found) -> None:
    found["devices"] *= 2
    found["conditions"]["threads"] = [1, 2]
    assert report.columns(found)[:4] == ["model", "phone", "threads", "ms"]
    assert report.title(found) == "Google Pixel 6, big cores, xnnpack"  # of one name both
    serial = found["device"]["serial"]
    assert report.summary_rows(found)[1][1:4] == [serial, "1", "2.06"]


def test_the_terminal_has_the_columns_that_fit(found) -> None:
    title, columns, rows = report.terminal_table(found)
    assert title == "Google Pixel 6, big cores, xnnpack"
    assert columns == ["model", "ms", "± %", "p95", "ratio", "MB", "parts", "drift", "rounds"]
    full = dict(zip(report.COLUMNS, report.summary_rows(found)[0], strict=True))
    assert rows[0] == [full[name] for name in columns]
    assert report.title(found | {"devices": []}).startswith("No phone, ")


def test_what_the_delegate_took_and_left(found) -> None:
    one, other = found["summary"]
    assert report.delegate_rows([one]) == [[one["model"], "xnnpack", "4", "5", "3", "1 HARD_SWISH"]]
    other["delegate"]["total"], other["outside"] = None, {"MEAN": 2, "MUL": 1}
    assert report.delegate_rows([other])[0][2:] == ["4", "not told", "3", "2 MEAN, 1 MUL"]
    assert report.delegate_rows([other | {"outside": {}}])[0][-1] == "nothing"
    assert report.delegate_rows([other | {"outside": None}])[0][-1] == "not told"
    unnamed = dict.fromkeys(one["delegate"])
    assert report.delegate_rows([one | {"delegate": unnamed}, one | {"delegate": None}]) == []


def test_what_is_known_of_a_phone(found) -> None:
    device = found["device"]
    told = dict(report.device_rows(device))
    assert told["phone"] == "Google Pixel 6"
    assert told["SoC"] == "Google GS101"
    assert told["Android"] == "13 arm64-v8a"
    assert told["clusters"] == "f (4 at 1803 MHz), 30 (2 at 2253 MHz), c0 (2 at 2802 MHz)"
    assert told["bound to"] == "c0"
    assert told["binary"] == f"tflite, sha256 {device['binary']['sha256']}"
    device["clusters"][0]["max_khz"] = None
    device |= {"mask": None, "build": None, "manufacturer": None, "model": None}
    told = dict(report.device_rows(device))
    assert told["clusters"].startswith("f (4 at unknown clock), ")
    assert told["bound to"] == "the scheduler's choice"
    assert (told["build"], told["phone"]) == ("not readable", device["serial"])


def test_conditions_are_told_as_they_were_given(found) -> None:
    found["conditions"]["threads"] = [1, 2]
    told = dict(report.condition_rows(found))
    assert (told["threads"], told["cores"], told["num runs"]) == ("1, 2", "big", "3")


def test_markdown_keeps_its_columns(found) -> None:
    text = report.markdown(found)
    rows = [line for line in text.splitlines() if line.startswith("|")][:4]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert rows[1].startswith("| --- | ---: |")
    for told in ("1 HARD_SWISH", "- Warning: ", "Pixel 6", found["date"]):
        assert told in text
    assert text.endswith(f"## Again\n\n```sh\n{found['command']}\n```\n")


# -- the page ------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch) -> list[Any]:
    """The figures that were saved."""
    figures: list[Any] = []
    save = plots.figures.save

    def keep(figure: Any, path: Any, **_: Any) -> None:
        figures.append(figure)
        save(figure, path, dpi=20)

    monkeypatch.setattr(plots.figures, "save", keep)
    return figures


def test_the_page_needs_nothing_but_itself(found, drawn) -> None:
    found["rows"][1] |= {"status": "error", "error_kind": "crashed", "error_line": "Aborted"}
    found["summary"][0]["top1"] = 0.7
    text = page.html(found)
    assert not re.search(r"<(?:script|link|iframe)|(?:src|href)=\"(?!data:)", text)
    assert NASTY not in text
    assert "alert(1)" in text
    assert text.count("data:image/png") == 4
    for told in ("Pixel 6", "GS101", "taskset", found["device"]["binary"]["sha256"]):
        assert told in text
    for told in ("crashed", "Aborted", "set aside", "times the median", found["rows"][1]["log"]):
        assert told in text
    assert "1 HARD_SWISH" in text
    for line in found["summary"]:
        line.update(top1=None, ops=None)
    found["devices"].append(found["device"] | {"serial": "another, of which nothing is known"})
    assert page.html(found).count("data:image/png") == 2


def test_nothing_measured_still_gives_a_page(found) -> None:
    for line in found["summary"]:
        line.update(median_us=None, ci_us=None, error_kind="timeout", rounds=0, ops=None)
    found["rows"] = []
    assert "timeout" in page.html(found)


def test_the_latency_is_drawn_with_its_interval(found, monkeypatch) -> None:
    bars: list[Bar] = []
    monkeypatch.setattr(page, "plot_latency", lambda timed, title, path: bars.extend(timed))
    monkeypatch.setattr(page.page, "image", lambda path, caption: caption)
    for name in ("plot_rounds", "plot_operators"):
        monkeypatch.setattr(plots, name, lambda *of: None)
    other = found["summary"][1]
    other.update(threads=2, ci_us=None, p95_us=None, ratio=None, quantize="int8")
    page.html(found)
    one, two = bars
    first = found["summary"][0]
    median = Headline(first["median_us"], tuple(first["ci_us"]), "median")
    assert one == Bar(first["model"], "other", median, first["p95_us"], first["ratio"])
    assert two == Bar("other, 2 threads", "int8", Headline(2060, (2060, 2060), "median"))


def drawing(plot: Callable[..., None], rows: list[dict], drawn: list[Any], tmp_path) -> Any:
    plot(rows, tmp_path / "plot.png")
    return drawn[-1]


def test_each_run_is_drawn_in_its_time(found, drawn, tmp_path) -> None:
    rows = found["rows"]
    for number, row in enumerate(rows):
        row["at"] = f"2026-01-01T00:00:{number + 5:02d}+00:00"
    rows[3]["status"] = "error"
    figure = drawing(plots.plot_rounds, rows, drawn, tmp_path)
    assert [axes.get_ylabel() for axes in figure.axes] == ["ms", "°C", "MHz"]
    latency, heat, clock = figure.axes
    one = [number for number, row in enumerate(rows) if row["model"] == rows[0]["model"]]
    assert list(latency.lines[0].get_xdata()) == one
    assert list(latency.lines[0].get_ydata()) == [1.0, 1.01, 1.02, 1.03, 4.0, 1.04]
    assert len(latency.lines[1].get_xdata()) == 4
    assert list(heat.lines[0].get_ydata()) == [rows[number]["celsius_after"] for number in one]
    assert set(clock.lines[0].get_ydata()) == {1401.0}
    hollow = [
        len(colour) == 0 or colour[3] == 0 for colour in latency.collections[0].get_facecolors()
    ]
    assert latency.get_ylim()[0] == 0
    assert hollow == [rows[number]["rejected"] is not None for number in one]
    assert len(figure.legends[0].get_texts()) == 2
    for row in rows:
        row["current_khz"] = None
    figure = drawing(plots.plot_rounds, rows, drawn, tmp_path)
    assert [axes.get_ylabel() for axes in figure.axes] == ["ms", "°C"]


def test_accuracy_is_drawn_against_latency(found, drawn, tmp_path) -> None:
    one, other = found["summary"]
    one.update(top1=0.7, quantize="int8")
    other.update(top1=0.705, threads=2)
    figure = drawing(plots.plot_accuracy, found["summary"], drawn, tmp_path)
    (axes,) = figure.axes
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines]
    assert points == [(1.02, 70.0), (2.06, 70.5)]
    assert [text.get_text() for text in axes.texts] == [one["model"], "other (2 threads)"]
    low, high = axes.get_ylim()
    assert high - low >= 2 * (plots.LEAST_POINTS - 0.5)  # what is alike looks alike
    assert axes.get_xlim() == (0, pytest.approx(1.3 * 2.06))
    assert plots.with_accuracy([one | {"median_us": None}, one | {"top1": None}]) == []


def test_operators_are_drawn_from_the_one_that_takes_longest(drawn, tmp_path) -> None:
    def op(kind: str, ms: float) -> dict:
        return {"type": kind, "name": "[x]", "avg_ms": ms}

    kinds = [op(f"K{number}", 1.0 + number) for number in range(10)]
    summary = [
        {"model": "m", "threads": 1, "ops": kinds},
        {"model": "n", "threads": 2, "ops": kinds[-1:]},
        {"model": "unasked", "threads": 1, "ops": None},
    ]
    figure = drawing(plots.plot_operators, summary, drawn, tmp_path)
    (axes,) = figure.axes
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["K9", "K8", "K7", "K6", "K5", "K4", "K3", "K2", "others"]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[:9] == [10, 9, 8, 7, 6, 5, 4, 3, 1 + 2]
    assert [bar.get_x() for bar in axes.patches[:3]] == [0, 10, 19]
    assert (sum(widths[9:]), widths[9]) == (10, 10)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["m", "n, 2t"]


# -- operators -----------------------------------------------------------------------------------


def test_inner_operators_are_not_counted_twice() -> None:
    def op(kind: str, name: str, ms: float) -> dict:
        return {"type": kind, "name": name, "avg_ms": ms}

    ops = [
        op("TfLiteXNNPackDelegate", "[x]:0", 3.0),
        op("SOFTMAX", "[y]:1", 1.0),
        op("DELEGATE_PROFILED", "Delegate/Convolution (NHWC, QS8):0", 2.0),
        op("DELEGATE_PROFILED", "Delegate/Convolution (NHWC, QS8):1", 1.0),
    ]
    expected = {"SOFTMAX": 1.0, "Convolution (NHWC, QS8)": 3.0}
    assert op_tables.milliseconds(ops) == expected
    assert op_tables.outside(ops) == {"SOFTMAX": 1}
    assert op_tables.outside(ops[1:2]) == {}  # nobody says that there was a delegate
    assert op_tables.milliseconds(ops[:2]) == {"TfLiteXNNPackDelegate": 3.0, "SOFTMAX": 1.0}
    assert op_tables.milliseconds([ops[1] | {"avg_ms": None}, ops[1]]) == {"SOFTMAX": 1.0}
