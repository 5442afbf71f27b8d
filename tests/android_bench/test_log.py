"""Logs in every format that the binary was known to print."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from android_bench import log, log_lines, parse

LOGS = Path(__file__).parent / "logs"
NAMES = sorted(path.name for path in LOGS.glob("*.txt"))
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
SUMMARY = (
    "INFO: Inference timings in us: Init: 5, First inference: 9, Warmup (avg): 8.5, "
    "Inference (avg): 7.25"
)
NOISE = [
    "",
    "INFO: Initialized TensorFlow Lite runtime.",
    'WARNING: linker: Warning: "/x" unused DT entry: DT_RPATH (type 0xf) (ignoring)',
    "[ 1234.5] random: crng = 7, init done, count of things 3",
    "\x1b[32mgreen\x1b[0m",
    "nnapi error: unable to open library libneuralnetworks.so",
    "type 54 str SoftmaxAxis0",
]
LOGCATS = {
    "threadtime": "05-31 10:31:13.022 21767 21768 I tflite  : ",
    "year and zone": "2026-05-31 10:31:13.022123 +0200 21767 21768 I tflite  : ",
    "uid": "05-31 10:31:13.022 u0_a12 21767 21768 I tflite  : ",
    "time": "05-31 10:31:13.022 I/tflite  (21767): ",
    "brief": "I/tflite  (  217): ",
    "tag": "I/tflite  : ",
    "no clock": "I tflite  : ",
    "no level": "tflite  : ",
    "epoch": "1622442673.022 21767 21768 I tflite  : ",
    "old studio": "2022-05-31 10:31:13.006 21767-21767/org.tensorflow.lite.benchmark I/tflite: ",
    "new studio": "2023-12-19 12:44:34.993 21767-21767 tflite   org.tensor...benchmark   I  ",
    "new studio without the date": "12:44:34.993 21767-21767 tflite                   I  ",
}


def read(name: str) -> str:
    return (LOGS / name).read_text()


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "warnings"}


# -- the formats -----------------------------------------------------------------------------


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


# -- what stands between, and how it is wrapped ------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", NOISE)
def test_noise_between_any_two_lines_changes_no_number(name: str, noise: str):
    lines = read(name).splitlines()
    expected = numbers(log.parse(read(name)))
    for at in range(len(lines) + 1):
        text = "\n".join([*lines[:at], noise, *lines[at:]])
        assert numbers(log.parse(text)) == expected, f"before line {at}"


@pytest.mark.parametrize("name", NAMES)
def test_line_ends_and_colours_change_nothing(name: str):
    text, expected = read(name), log.parse(read(name))
    assert log.parse(text.replace("\n", "\r\n")) == expected
    assert log.parse(text.replace("\n", "\r\r\n")) == expected
    assert log.parse(re.sub(r"(?m)^(INFO:)", "\x1b[1;34m\\1\x1b[0m", text)) == expected
    assert log.parse("   " + text.replace("\n", "\n   ")) == expected
    assert log.parse("> " + text.replace("\n", "\n> ")) == expected


@pytest.mark.parametrize("name", [name for name in NAMES if "logcat" not in name])
@pytest.mark.parametrize("prefix", LOGCATS.values(), ids=LOGCATS)
def test_logcat_before_every_line_changes_nothing(name: str, prefix: str):
    text = "".join(prefix + line + "\n" for line in read(name).splitlines())
    assert log.parse(text) == log.parse(read(name))


def test_the_level_and_the_tag_are_kept():
    (line,) = log_lines.clean("05-31 10:31:13.022  123  124 E tflite  : ERROR: it is so")
    assert line == log_lines.Line("it is so", "E", "tflite")
    (line,) = log_lines.clean("WARN: so: so")
    assert line == log_lines.Line("so: so", "W", None)


def test_two_streams_on_one_line():
    text = read("current.txt")
    glued = text.replace("std=11478 p5=51629 median=51962 p95=87112\n", "std=11478")
    glued = glued.replace("INFO: Use xnnpack: [1]\nINFO: ", "INFO: Use xnnpack: [1]INFO: ")
    result = log.parse(glued.replace("std=11478", "std=11478ERROR: something\n"))
    assert result["warmup"]["std"] == 11478
    assert result["inference"]["avg"] == 63743.2
    behind = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.INFO: count=50 first=64002"
    result = log.parse(text.replace("INFO: count=50 first=64002", behind))
    assert result["inference"]["first"] == 64002


@pytest.mark.parametrize("name", NAMES)
def test_the_errors_stream_may_come_first_or_last(name: str):
    lines = read(name).splitlines()
    stderr = [line for line in lines if re.search(r"Created|Replacing|Initialized Tensor", line)]
    stdout = [line for line in lines if line not in stderr]
    expected = numbers(log.parse(read(name)))
    assert numbers(log.parse("\n".join([*stderr, *stdout]))) == expected
    assert numbers(log.parse("\n".join([*stdout, *stderr]))) == expected


# -- the parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("count=0", {"count": 0}),
        ("count=1 curr=7", dict.fromkeys(log.STAT_KEYS, 7) | {"count": 1, "std": 0}),
        ("count=5 curr=7(all same)", dict.fromkeys(log.STAT_KEYS, 7) | {"count": 5, "std": 0}),
        (
            "count=5 curr=7(all same) p5=7 median=7 p95=7",
            dict.fromkeys(log.STAT_KEYS, 7) | {"count": 5, "std": 0},
        ),
        (
            "count=2 first=2000000 curr=1 min=1 max=2000000 avg=1e+06 std=999999",
            {
                "count": 2,
                "first": 2000000,
                "curr": 1,
                "min": 1,
                "max": 2000000,
                "avg": 1e6,
                "std": 999999,
            },
        ),
    ],
)
def test_count_lines(line: str, expected: dict):
    result = log.parse(f"INFO: count=3 curr=9\nINFO: {line}\n{SUMMARY}")
    assert result["inference"] == dict.fromkeys(log.STAT_KEYS) | expected


ONE = "count=4 first=9 curr=8 min=8 max=9 avg={} std=0"
WARMUP = "Running benchmark for at least 1 iterations and at least 0.5 seconds"
MEASURED = "Running benchmark for at least 50 iterations and at least 1 seconds"


@pytest.mark.parametrize(
    ("lines", "role"),
    [
        ([ONE.format(8.5), SUMMARY], "warmup"),
        ([ONE.format(7.25), SUMMARY], "inference"),
        ([WARMUP, ONE.format(8)], "warmup"),
        ([MEASURED, ONE.format(8)], "inference"),
        ([WARMUP, "(lost)", MEASURED, ONE.format(8)], "inference"),
        ([ONE.format(8)], "inference"),
    ],
)
def test_the_role_of_a_single_count_line(lines: list[str], role: str):
    result = log.parse("\n".join(["STARTING!", *lines]))
    other = {"warmup": "inference", "inference": "warmup"}[role]
    assert (result[role]["count"], result[other]["count"]) == (4, None)


DELEGATES = {
    "VERBOSE: Replacing 269 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 13 "
    "partitions.": ("xnnpack", 269, None, 13),
    "Replacing 546 out of 546 node(s) with delegate (TfLiteGpuDelegateV2)": ("gpu", 546, 546, None),
    "Explicitly applied NNAPI delegate, and the model graph will be partially executed by the "
    "delegate w/ 44 delegate kernels.": ("nnapi", None, None, 44),
    "Applied Hexagon delegate, and the model graph will be completely executed w/ the delegate.": (
        "hexagon",
        None,
        None,
        None,
    ),
    "CoreML delegate: 107 nodes delegated out of 108 nodes, with 2 partitions.": (
        "coreml",
        107,
        108,
        2,
    ),
    "INFO: Created TensorFlow Lite delegate for select TF ops.": ("flex", None, None, None),
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.": ("xnnpack", None, None, None),
    "INFO: Hexagon delegate: 126 nodes delegated out of 130 nodes with 3 partitions.\n"
    "INFO: Replacing 126 node(s) with delegate (TfLiteHexagonDelegate) node, yielding 3 "
    "partitions.": ("hexagon", 126, 130, 3),
    "I/tflite: Hexagon delegate: 95 nodes delegated out of 96 nodes.": ("hexagon", 95, 96, None),
    "Replacing 7 out of 8 node(s) with delegate (LITERT_CL) node, yielding 2 partitions for "
    "subgraph 0 (main).": ("gpu", 7, 8, 2),
    "Replacing 1 out of 1 node(s) with delegate (DispatchDelegate) node": ("npu", 1, 1, None),
    "Replacing 5 out of 6 node(s) with delegate (TfLiteQnnDelegate) node": ("qnn", 5, 6, None),
    "INFO: Replacing 31 out of 31 node(s) with delegate (Vx Delegate) node, yielding 1 partitions "
    "for the whole graph.\nExplicitly applied EXTERNAL delegate, and the model graph will be "
    "completely executed by the delegate.": ("vx", 31, 31, 1),
    "Replacing 90 out of 99 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 5 "
    "partitions for subgraph 0.\nReplacing 5 out of 99 node(s) with delegate "
    "(TfLiteGpuDelegateV2) node, yielding 2 partitions for subgraph 0.\nExplicitly applied GPU "
    "delegate, and the model graph will be partially executed by the delegate w/ 1 delegate "
    "kernels.": ("gpu", 5, 99, 2),
}


@pytest.mark.parametrize(("text", "expected"), DELEGATES.items())
def test_delegates(text: str, expected: tuple):
    assert tuple(log.parse(text + "\n" + SUMMARY)["delegate"].values()) == expected


# -- what went wrong -------------------------------------------------------------------------


def test_a_silent_fallback_is_an_error_with_its_numbers():
    told = (
        "INFO: Though NNAPI delegate is explicitly applied, the model graph will not be executed "
        "by the delegate."
    )
    result = log.parse(f"INFO: STARTING!\n{told}\n{SUMMARY}\n", 0)
    assert (result["status"], result["error_kind"]) == ("error", "delegate_fallback")
    assert (result["inference_avg_us"], result["delegate"]["name"]) == (7.25, "nnapi")
    assert result["warnings"] == [told.removeprefix("INFO: ")]


def test_an_unconsumed_flag_is_an_error():
    result = log.parse(f"WARN: Unconsumed cmdline flags: --foo=1\n{SUMMARY}\n", 0)
    assert (result["status"], result["error_kind"]) == ("error", "unconsumed_flag")


def test_warnings_are_told_and_no_error():
    result = log.parse(f"WARN: Duplicate flags: num_threads\nWARN: x\nWARN: x\n{SUMMARY}\n", 0)
    assert (result["status"], result["warnings"]) == ("ok", ["Duplicate flags: num_threads", "x"])


def test_a_log_cut_short():
    text = read("current.txt")
    result = log.parse(text[: text.index("INFO: Inference timings")])
    assert (result["status"], result["error_kind"]) == ("no_timings_line", None)
    assert (result["inference_avg_us"], result["inference"]["avg"]) == (None, 63743.2)
    assert result["init_us"] == 52687  # of the line on the session
    # Within a number: it is not known how it went on.
    result = log.parse(text[: text.index("max=70931") + len("max=70")])
    assert (result["inference"]["min"], result["inference"]["max"]) == (61876, None)


@pytest.mark.parametrize("name", NAMES)
def test_no_cut_makes_a_log_fail(name: str):
    text = read(name)
    for end in range(0, len(text), 7):
        result = log.parse(text[:end])
        assert result["error_kind"] in (None, "delegate_apply_failed", "unknown")
        assert result["inference_avg_us"] is not None or result["status"] != "ok"


@pytest.mark.parametrize(
    "command",
    [
        "oriole:/data/local/tmp $ ./benchmark_model --graph=Killed.tflite",
        "139|umi:/ # ./benchmark_model --graph=m.tflite || echo Aborted",
        "+ ./benchmark_model --graph=m.tflite # Unconsumed cmdline flags, device offline",
        "$ adb shell ./benchmark_model || echo Segmentation fault",
        "adb -s R58N123 shell './benchmark_model || echo Killed'",
        "C:\\platform-tools>adb shell ./benchmark_model --graph=Killed",
    ],
)
def test_a_command_that_the_shell_echoes_is_no_error(command: str):
    result = log.parse(f"{command}\nINFO: STARTING!\n{SUMMARY}\n{command}\n", 0)
    assert (result["status"], result["warnings"]) == ("ok", [])
    assert log.parse(f"{command}\nKilled\n")["error_kind"] == "out_of_memory"


@pytest.mark.parametrize("text", ["", "\n", "hello\n", "INFO: STARTING!\n"])
def test_nothing_to_read(text: str):
    result = log.parse(text, 0)
    assert (result["status"], result["error_kind"]) == ("no_timings_line", None)
    assert (result["ops"], result["warnings"]) == (None, [])


def test_the_exit_status_counts():
    assert log.parse("INFO: STARTING!\n", 139)["error_kind"] == "crashed"
    assert log.parse(SUMMARY, 1)["status"] == "error"


def test_of_several_runs_the_last_is_read():
    result = log.parse(read("until_2_4.txt") + read("current.txt"))
    assert numbers(result) == numbers(log.parse(read("current.txt")))
    assert result["warnings"] == ["The log holds 2 runs; the last is read."]
    failed = "INFO: STARTING!\nERROR: Failed to load model x\nERROR: Benchmarking failed.\n"
    assert log.parse(read("current.txt") + failed)["error_kind"] == "model_load_failed"
    assert log.parse(failed + read("current.txt"))["status"] == "ok"
    # A terminal may glue the beginning to the command.
    glued = read("current.txt").replace("INFO: STARTING!", "$ ./b --num_threads=4STARTING!")
    result = log.parse(glued[: glued.index("Inference timings")] + glued)
    assert result["warnings"] == ["The log holds 2 runs; the last is read."]
    # The first may lack its beginning, and the last its end.
    text = read("current.txt")
    head, tail = text.index("INFO: Loaded model"), text.index("INFO: Inference timings")
    result = log.parse(text[head:] + text[:tail])
    assert (result["status"], result["warmup"]["count"]) == ("no_timings_line", 9)


# -- the command -----------------------------------------------------------------------------


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "android_bench", "parse", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True)


def test_the_command_prints_one_object():
    for arguments in ((str(LOGS / "current.txt"),), (str(LOGS / "current.txt"), "--json")):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == log.parse(read("current.txt"))
    done = run("-", stdin=read("current.txt").encode())
    assert json.loads(done.stdout)["inference_avg_us"] == 63743.2


def test_the_command_tells_what_is_wrong():
    for arguments, word in ((("/none/such.log",), b"/none/such.log"), ((), b"parse run.log")):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, b"")
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert run(str(LOGS)).returncode == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_encodings(encoding: str):
    text = read("current.txt")
    if encoding == "utf-16-be-bom":
        content = b"\xfe\xff" + text.encode("utf-16-be")
    else:
        content = text.encode(encoding)
    assert parse.decode(content) == text


def test_bytes_that_are_no_text():
    assert log.parse(parse.decode(b"\xff\x00\x80\n" + SUMMARY.encode()))["status"] == "ok"
