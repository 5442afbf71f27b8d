"""Logs in every format that the binary was known to print."""

import json

import pytest
from phones.known_logs import NAMES, ONE, SUMMARY, numbers, read

from mnv3_tf.measuring.phone import log

KEYS = {
    "status",
    "error_kind",
    "init_us",
    "first_us",
    "warmup_avg_us",
    "inference_avg_us",
    "warmup",
    "inference",
    "model_mb",
    "delegate",
    "memory",
    "ops",
    "warnings",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_log_is_good_and_has_all_keys(name: str):
    result = log.parse(read(name), 0)
    assert set(result) == KEYS
    assert (result["status"], result["error_kind"]) == ("ok", None)
    assert set(result["warmup"]) == set(result["inference"]) == set(log.STAT_KEYS)
    assert result["inference"]["avg"] == pytest.approx(result["inference_avg_us"], abs=1)
    json.dumps(result, allow_nan=False)


def test_current():
    result = log.parse(read("current.txt"))
    assert [result[f"{key}_us"] for key in ("init", "first", "warmup_avg", "inference_avg")] == [
        119515,
        87112,
        58147.4,
        63743.2,
    ]
    assert result["warmup"] == dict(
        zip(
            log.STAT_KEYS,
            (9, 87112, 51629, 51629, 87112, 58147.4, 11478, 51629, 51962, 87112),
            strict=True,
        )
    )
    assert result["inference"]["median"] == 63390
    assert result["model_mb"] == 4.56118
    assert result["delegate"] == {
        "name": "xnnpack",
        "replaced": 94,
        "total": 114,
        "partitions": 20,
    }
    assert result["memory"] == {"init_mb": 55.4961, "overall_mb": 56.5, "peak_mb": 93.2383}
    assert result["warnings"] == []


def test_until_2_4():
    result = log.parse(read("until_2_4.txt"))
    assert result["inference"]["count"] == 50
    assert result["inference"]["p95"] is None
    assert result["delegate"] == {"name": "gpu", "replaced": None, "total": None, "partitions": 1}
    assert result["memory"] == {"init_mb": 63.4883, "overall_mb": 64, "peak_mb": None}


def test_2018():
    result = log.parse(read("year_2018.txt"))
    assert (result["init_us"], result["warmup_avg_us"]) == (1892, 86184.3)
    assert (result["inference_avg_us"], result["first_us"]) == (115062, None)
    assert result["inference"]["count"] == 50
    assert result["delegate"]["name"] is None
    assert len(result["ops"]) == 2


@pytest.mark.parametrize("key", ["no stats", "Inference"])
def test_the_old_timings_line(key: str):
    text = f"Average inference timings in us: Warmup: 83235, Init: 38467, {key}: 79760.9"
    result = log.parse(text)
    assert (result["status"], result["inference_avg_us"]) == ("ok", 79760.9)


def test_litert():
    result = log.parse(read("litert.txt"))
    assert (result["init_us"], result["first_us"]) == (12340, 7441)
    assert (result["warmup_avg_us"], result["inference_avg_us"]) == (7370.5, 7430.21)
    assert result["memory"] == {"init_mb": 63.91, "overall_mb": 64.02, "peak_mb": None}


def test_litert_by_its_milliseconds_where_there_are_no_count_lines():
    lines = [line for line in read("litert.txt").splitlines() if "count=" not in line]
    result = log.parse("\n".join([*lines, "INFO: [x.h:1] Peak memory:          70.5 MB"]))
    assert result["inference_avg_us"] == 7430
    assert result["inference"] == dict.fromkeys(log.STAT_KEYS) | {
        "count": 50,
        "min": 7420,
        "max": 7450,
        "avg": 7430,
        "std": 10,
    }
    assert (result["warmup"]["count"], result["warmup"]["first"]) == (2, 7440)
    assert (result["first_us"], result["warmup_avg_us"]) == (7440, 7370)
    assert result["memory"]["peak_mb"] == 70.5


LIST = """
========== BENCHMARK RESULTS ==========
INFO: [.\\litert/tools/benchmark_litert_model.h:57] Model initialization: {0}.00 ms
INFO: [.\\litert/tools/benchmark_litert_model.h:59] Warmup (first):       {0}.00 ms
INFO: [.\\litert/tools/benchmark_litert_model.h:61] Warmup (avg):         {0}.00 ms (51 runs)
INFO: [.\\litert/tools/benchmark_litert_model.h:63] Inference (avg):      {0}.00 ms (100 runs)
"""
COUNTS = """
INFO: Initialized session in {0}.478ms.
INFO: count=2 first={0}900 curr={0}100 min={0}100 max={0}900 avg={0}500 std=400
INFO: count=3 first={0}300 curr={0}100 min={0}100 max={0}300 avg={0}200 std=100
"""


def test_litert_init_is_read_in_microseconds():
    assert log.parse(COUNTS.format(4) + LIST.format(4))["init_us"] == 4478
    assert log.parse(LIST.format(4))["init_us"] == 4000


@pytest.mark.parametrize("form", [LIST, COUNTS + LIST], ids=["lists", "with counts"])
def test_of_several_litert_runs_the_last_is_read_though_nothing_tells_its_beginning(form: str):
    result = log.parse(form.format(7) + "Inference (max): 9.00 ms\n" + form.format(4))
    assert numbers(result) == numbers(log.parse(form.format(4)))
    assert result["warnings"] == ["The log holds 2 runs; the last is read."]


def test_the_litert_list_on_the_other_stream_may_come_first():
    counts = "INFO: STARTING!\nINFO: Loading model from: m.tflite" + COUNTS.format(4)
    assert log.parse(LIST.format(4) + counts) == log.parse(counts + LIST.format(4))


def test_litert_percentiles_of_the_tool_in_python():
    text = "Inference (median): 84.50 ms\nInference (p5): 82.5 ms\nInference (p95): 91.00 ms"
    inference = log.parse(LIST.format(85) + text)["inference"]
    assert [inference[key] for key in ("avg", "median", "p5", "p95")] == [
        85000,
        84500,
        82500,
        91000,
    ]


def test_apk():
    result = log.parse(read("apk_logcat.txt"))
    assert result["inference_avg_us"] == 1240270
    assert result["warmup"] == dict.fromkeys(log.STAT_KEYS, 1381510) | {"count": 1, "std": 0}
    assert result["delegate"]["name"] == "xnnpack"
    assert result["warnings"] == []  # the other lines are of other programs


def test_performance_options():
    result = log.parse(read("options.txt"))
    assert (result["inference_avg_us"], result["init_us"]) == (33904.9, 2100)
    assert result["warmup"]["avg"] == 35000.5
    assert result["warnings"] == [
        "Of 3 performance options 'cpu w/ 4 threads' is read.",
        "Performance option 'gpu-default': 57705.5 us on average.",
        "Performance option 'nnapi(w/o accel name)' failed.",
    ]


def test_the_summary_of_performance_options_alone():
    text = read("options.txt")
    result = log.parse(text[text.index("=====") :])
    assert (result["status"], result["inference"]["max"]) == ("ok", 37476)
    assert result["inference_avg_us"] == 33904.9


def test_performance_options_that_all_failed():
    result = log.parse("STARTING!\nFailed to apply NNAPI delegate.\n  nnapi: failed!\n")
    assert (result["status"], result["error_kind"]) == ("error", "delegate_apply_failed")


SUMMARY_OF_OPTIONS = """
==============Summary of All Runs w/ Different Performance Options==============
INFO:                   gpu-fp16: count=3 first={0} curr={0} min={0} max={0} avg={0} std=0
INFO:      nnapi(w/o accel name):  failed!
"""


def test_of_several_summaries_of_options_the_last_is_read():
    result = log.parse(SUMMARY_OF_OPTIONS.format(8) + SUMMARY_OF_OPTIONS.format(9))
    assert (result["inference_avg_us"], result["warnings"]) == (
        9,
        [
            "Of 2 performance options 'gpu-fp16' is read.",
            "Performance option 'nnapi(w/o accel name)' failed.",
        ],
    )
    result = log.parse(SUMMARY_OF_OPTIONS.format(8) + "INFO: STARTING!\n" + SUMMARY)
    assert (result["inference_avg_us"], len(result["warnings"])) == (7.25, 1)


@pytest.mark.parametrize("before", ["^[[AINFO: ", "bench: ", "[stdout] tflite : "])
def test_what_stands_before_a_count_line_is_no_performance_option(before: str):
    text = f"{before}{ONE.format(8.5)}\n{before}{ONE.format(7.25)}\n{SUMMARY}"
    result = log.parse(text)
    assert (result["warmup"]["avg"], result["inference"]["avg"]) == (8.5, 7.25)
    assert result["warnings"] == []


def test_before_tflite_with_the_place_in_the_source():
    place = "2017-11-27 08:56:25.497476: I tensorflow/tools/benchmark/benchmark_model.cc:324] "
    text = f"""
{place}count=2 first=237900 curr=100842 min=100842 max=237900 avg=169371 std=68529
{place}count=65 first=157668 curr=150971 min=84108 max=186161 avg=154048 std=15025
{place}count=61 first=143913 curr=150588 min=89136 max=256518 avg=165940 std=28180
{place}Average inference timings in us: Warmup: 169371, no stats: 154047, with stats: 165939
"""
    result = log.parse(text)
    assert (result["inference_avg_us"], result["inference"]["count"]) == (154047, 65)
