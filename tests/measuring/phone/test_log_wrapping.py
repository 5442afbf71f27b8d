"""What stands between the lines of a log and before them changes no number."""

import re

import pytest
from phones.known_logs import NAMES, numbers, read

from mnv3_tf.measuring.phone import log, log_lines

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


@pytest.mark.parametrize("name", NAMES)
def test_noise_between_any_two_lines_changes_no_number(name: str):
    lines = read(name).splitlines()
    expected = numbers(log.parse(read(name)))
    for at in range(len(lines) + 1):
        text = "\n".join([*lines[:at], *NOISE, *lines[at:]])
        assert numbers(log.parse(text)) == expected, f"before line {at}"
    for noise in NOISE:
        text = "".join(f"{noise}\n{line}\n" for line in [*lines, ""])
        assert numbers(log.parse(text)) == expected, noise


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
    assert line == log_lines.LogLine("it is so", "E", "tflite")
    (line,) = log_lines.clean("WARN: so: so")
    assert line == log_lines.LogLine("so: so", "W", None)


@pytest.mark.parametrize(
    "text", ["[a/b.cc:3] WARN: so", "WARN: [b.cc:4] so", "[a.cc:1] WARN: [b.cc:2] so"]
)
def test_the_place_may_stand_on_either_side_of_the_level(text: str):
    assert log_lines.clean(text) == [log_lines.LogLine("so", "W", None)]


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
