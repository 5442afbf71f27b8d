"""The parts of a log, and what goes wrong in one."""

import pytest
from phones.known_logs import NAMES, ONE, SUMMARY, numbers, read

from mnv3_tf.measuring.phone import log

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


WARMUP = "Running benchmark for at least 1 iterations and at least 0.5 seconds"
MEASURED = "Running benchmark for at least 50 iterations and at least 1 seconds"


@pytest.mark.parametrize(
    ("lines", "role"),
    [
        ([ONE.format(8.5), SUMMARY], "warmup"),
        ([ONE.format(7.25), SUMMARY], "inference"),
        ([ONE.format(8.5), SUMMARY.replace("7.25", "7.51")], "inference"),  # rounded somewhere
        ([ONE.format(8.5), SUMMARY.replace("7.25", "7.5")], "warmup"),
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
    "Replacing 5 out of 99 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 "
    "partitions for subgraph 1.\nReplacing 9 out of 20 node(s) with delegate "
    "(TfLiteXNNPackDelegate) node, yielding 3 partitions for subgraph 0.": ("xnnpack", 9, 20, 3),
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
    for end in range(0, len(text), 31):  # several cuts in most lines
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
    # A line behind the last makes no run.
    result = log.parse(read("current.txt") + "INFO: Loaded model m.tflite\n")
    assert result == log.parse(read("current.txt"))
    # The first may lack its beginning, and the last its end.
    text = read("current.txt")
    head, tail = text.index("INFO: Loaded model"), text.index("INFO: Inference timings")
    result = log.parse(text[head:] + text[:tail])
    assert (result["status"], result["warmup"]["count"]) == ("no_timings_line", 9)
