"""The lines of a log as the program printed them: without logcat's columns, colours and levels."""

import re
from dataclasses import dataclass

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")

_CLOCK = r"(?:(?:\d{4}-)?\d\d-\d\d\s+)?\d\d:\d\d:\d\d\.\d{3,6}(?:\s+[+-]\d{4})?|\d+\.\d{3,6}"
"""Of a line: a time with or without date and year, or seconds (-v monotonic, -v epoch)."""

LOGCAT = (
    # threadtime, the default: 05-31 10:31:13.022 [uid] 21767 21767 I tflite  : text
    rf"(?:{_CLOCK})\s+(?:[\w]+\s+)?\d+\s+\d+\s+(?P<level>[VDIWEFA])\s+(?P<tag>.*?)\s*: ?",
    # time and brief: [05-31 10:31:13.022 ]I/tflite  (21767): text
    rf"(?:(?:{_CLOCK})\s+)?(?P<level>[VDIWEFA])/(?P<tag>[^(:]*?)\s*\(\s*(?:\w+:)?\s*\d+\): ?",
    # Android Studio, old: 2022-05-31 10:31:13.022 21767-21767/org.x I/tflite: text
    rf"(?:{_CLOCK})\s+\d+-\d+/\S+\s+(?P<level>[VDIWEFA])/(?P<tag>[^:]*?)\s*: ?",
    # Android Studio, new: 2023-05-31 10:31:13.022 21767-21767 tflite   [org.x]   I  text
    rf"(?:{_CLOCK})\s+\d+-\d+\s+(?P<tag>\S+)\s+(?:\S+\s+)?(?P<level>[VDIWEFA])  ?",
    # tag: I/tflite  : text
    r"(?P<level>[VDIWEFA])/(?P<tag>[\w.-]+)\s*: ?",
    # what a page shows of threadtime: I tflite  : text,  tflite  : text
    r"(?P<level>[VDIWEFA]?)\s*(?P<tag>tflite|litert)\s*: ?",
    # process and thread: I(21767) text  (tflite),  I(21767:21767) text
    r"(?P<level>[VDIWEFA])\(\s*\d+(?::\s*\w+)?\) ?(?P<tag>)",
)
"""What logcat puts before a text, by its -v formats."""

SOURCE = re.compile(
    # 2017-11-27 08:56:25.497476: I tensorflow/tools/benchmark/benchmark_model.cc:324] text
    r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: )?[VDIWEF] \S+\.(?:cc|h|cpp):\d+\] "
    # native : stat_summarizer.cc:85 text,  INFO: [benchmark_litert_model.h:94] text
    r"|native\s*: \S+\.(?:cc|h|cpp):\d+ |\[[\w./\\-]+\.(?:cc|h|cpp):\d+\] ?"
)
"""The place in the source that some builds name."""

QUOTED = re.compile(r"^\s*>[>\s]*(?=\S)")
"""Of a log that went through a mail or a forum."""

LEVEL = re.compile(r"(VERBOSE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL): ?")

_LOGCAT = tuple(re.compile(pattern) for pattern in LOGCAT)


@dataclass(frozen=True)
class LogLine:
    """`level` is one of V, D, I, W, E, F or empty; `tag` is None outside logcat."""

    text: str
    level: str = ""
    tag: str | None = None

    @property
    def ours(self) -> bool:
        """Whether it tells of the benchmark, not of something else on the phone."""
        return (
            not self.tag
            or re.search(r"tflite|litert|benchmark|tensorflow", self.tag, re.IGNORECASE) is not None
            or "benchmark" in self.text
        )


def clean(text: str) -> list[LogLine]:
    return [_line(raw) for raw in re.split(r"\r*\n|\r+", ANSI.sub("", text))]


def _line(raw: str) -> LogLine:
    raw = QUOTED.sub("", raw)
    level, tag = "", None
    for pattern in _LOGCAT:
        if match := pattern.match(raw.lstrip()):
            level, tag = match["level"], match["tag"]
            raw = raw.lstrip()[match.end() :]
            break
    # A place may stand before the level, behind it, or both.
    for pattern in (SOURCE, LEVEL, SOURCE):
        if match := pattern.match(raw.lstrip()):
            raw = raw.lstrip()[match.end() :]
            level = match[1][0] if pattern is LEVEL else level
    return LogLine(raw.rstrip(), level, tag)
