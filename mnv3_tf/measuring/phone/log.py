"""What a log of `benchmark_model` says, in whatever format that it was ever printed.

Read are the logs of TFLite's binary from 2018 on, its APK's by logcat, the one for several
performance options, and LiteRT 2.x's binary. Output and errors may be mixed, lines of others may
stand between, two streams may share a line, and the log may be cut short.

Of several runs in one log the last counts: it is what the reader saw last, failed or not. Of
several performance options, each of them a run, it is the first in the summary that did not
fail, which is the fastest; the others are told in the warnings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from mnv3_tf.measuring.phone import failures, op_tables
from mnv3_tf.measuring.phone.log_delegate import Delegate, find_delegate
from mnv3_tf.measuring.phone.log_lines import LogLine, clean
from mnv3_tf.measuring.phone.op_tables import OpRow

Number = int | float


class Stat(TypedDict):
    """A `count=` line: microseconds but for the count; std is the population's, truncated."""

    count: int | None
    first: Number | None
    curr: Number | None
    min: Number | None
    max: Number | None
    avg: Number | None
    std: Number | None
    p5: Number | None
    median: Number | None
    p95: Number | None


STAT_KEYS = tuple(Stat.__annotations__)
NO_STAT = cast(Stat, dict.fromkeys(STAT_KEYS))


class Memory(TypedDict):
    init_mb: Number | None
    overall_mb: Number | None
    peak_mb: Number | None


class LogNumbers(TypedDict):
    """What a run's log has, None what it has not: microseconds, MB, and milliseconds of `ops`."""

    init_us: Number | None
    first_us: Number | None
    warmup_avg_us: Number | None
    inference_avg_us: Number | None
    warmup: Stat
    inference: Stat
    model_mb: Number | None
    delegate: Delegate
    memory: Memory
    ops: list[OpRow] | None


class LogReport(LogNumbers):
    """What `android_bench parse` prints. `status` is "ok", "error" or "no_timings_line".

    The numbers of a log with an error are kept: they are true, if of something else.
    """

    status: str
    error_kind: str | None
    warnings: list[str]


NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
PAIR = re.compile(rf"\b(\w+)=({NUMBER})")
STAT = re.compile(rf"\bcount=\d+(?:\s+\w+={NUMBER}(?:\s*\(all same\))?)*")
NOT_OF_RUNS = re.compile(r"(?:Timings \(microseconds\)|Memory \(bytes\)):\s*$")
"""What stands before the `count=` of an operator profile."""
SUMMARY = re.compile(r"=Summary of All Runs w/ Different Performance Options=")
OPTION = re.compile(
    r"^\s*(?P<name>(?:cpu|gpu|nnapi|dsp|coreml)\b[^:=]*?)\s*:\s*(?P<failed>failed!|count=)"
)

TIMINGS = re.compile(r"inference timings in us:(?P<pairs>.*)", re.IGNORECASE)
TIMING = re.compile(
    rf"\b(Init|First inference|Warmup|Inference|no stats)(?: \(avg\))?:\s*({NUMBER})"
)
TIMING_KEYS = {
    "Init": "init_us",
    "First inference": "first_us",
    "Warmup": "warmup_avg_us",
    "Inference": "inference_avg_us",
    "no stats": "inference_avg_us",  # until 2019, as opposed to runs that were profiled
}

START = re.compile(r"STARTING!|Running TensorFlow Lite benchmark with args")
NEXT = re.compile(
    r"^(?:Log parameter values|Min num runs: |Load(?:ed|ing) model |The input model file size "
    r"|Initialized session |Running benchmark for )"
)
"""Lines by which a run goes on, or the next begins if it has its timings already."""
HEADER = re.compile(r"Running benchmark for (?:at least |max )?(\d+) iterations")
PARAMETER = re.compile(
    r"(Min warmup runs|Min num runs|Warmup runs|Num runs): \[(\d+)\]", re.IGNORECASE
)

MODEL_MB = re.compile(rf"input model file size \(MB\):\s*({NUMBER})")
MEMORY = {
    "init_mb": (
        rf"[Mm]emory footprint (?:delta [^:]*)?\(MB\):\s*init=({NUMBER})",
        rf"\bInit footprint:\s*({NUMBER}) MB",
    ),
    "overall_mb": (
        rf"[Mm]emory footprint (?:delta [^:]*)?\(MB\):.*\boverall=({NUMBER})",
        rf"\bOverall footprint:\s*({NUMBER}) MB",
    ),
    "peak_mb": (
        rf"peak memory footprint \(MB\) via periodic monitoring:\s*({NUMBER})",
        rf"\bPeak memory(?: usage)?:\s*({NUMBER}) MB",
    ),
}

# LiteRT 2.x prints milliseconds with two decimals, one value a line; only std has no unit.
MILLISECONDS = {
    # The only one that TFLite's binary prints as well, and with three decimals.
    "session": re.compile(rf"\bInitialized session in\s*({NUMBER})\s*ms"),
    "init": re.compile(rf"\bModel initialization:\s*({NUMBER}) ms"),
    "warmup_first": re.compile(rf"\b(?:Warmup \(first\)|First inference):\s*({NUMBER}) ms"),
    "warmup": re.compile(rf"\bWarmup \(avg\):\s*({NUMBER}) ms(?:\s*\((?P<count>\d+) runs?\))?"),
    "avg": re.compile(rf"\bInference \(avg\):\s*({NUMBER}) ms(?:\s*\((?P<count>\d+) runs?\))?"),
    "min": re.compile(rf"\bInference \(min\):\s*({NUMBER}) ms"),
    "max": re.compile(rf"\bInference \(max\):\s*({NUMBER}) ms"),
    "std": re.compile(rf"\bInference \(std\):\s*({NUMBER})"),
    # Of the tool in Python alone.
    "median": re.compile(rf"\bInference \(median\):\s*({NUMBER}) ms"),
    "p5": re.compile(rf"\bInference \(p5\):\s*({NUMBER}) ms"),
    "p95": re.compile(rf"\bInference \(p95\):\s*({NUMBER}) ms"),
}

MINOR = re.compile(r"linker|nnapi error: |^\s*$")
"""Warnings that say nothing of the run."""


def parse(text: str, status: int | None = None) -> LogReport:
    """`status` is the exit status of the run, if known."""
    runs = _runs(clean(text))
    run = runs[-1]
    warnings = [f"The log holds {len(runs)} runs; the last is read."] if len(runs) > 1 else []
    chosen = next((option for option in run.options if option.stat), None)
    if run.options:
        warnings = [_describe(option) for option in run.options if option is not chosen]
    if chosen:
        warnings.insert(0, f"Of {len(run.options)} performance options {chosen.name!r} is read.")
        run = _run_of(chosen, runs)
    result = _numbers(run)
    timed = result["inference_avg_us"] is not None
    # An option that failed, such as a delegate that this phone has not, is no failure of others.
    searched = [] if chosen else run.lines
    found = failures.find_in(searched, status, timed)
    if found:
        warnings.insert(0, found.line)
    outcome = "error" if found else "ok" if timed else "no_timings_line"
    return {
        "status": outcome,
        "error_kind": found.kind if found else None,
        **result,
        "warnings": list(dict.fromkeys([*warnings, *_warnings(run.lines)])),
    }


@dataclass(frozen=True)
class Option:
    """A row in the summary of performance options; without `stat` it failed."""

    name: str
    stat: Stat | None


@dataclass(frozen=True)
class LogRun:
    """A part of the log. `stats` are its `count=` lines, each with the number of the last
    "Running benchmark for" above it, counted from 1, and the iterations that this announced.
    """

    lines: Sequence[LogLine]
    timings: dict[str, Number]
    stats: Sequence[tuple[Stat, int, int | None]]
    options: Sequence[Option]
    marked: bool

    @property
    def told(self) -> bool:
        """Whether it is a run at all, not a line or two behind one."""
        return self.marked or bool(self.timings or self.options)


# -- cutting the log into runs ---------------------------------------------------------------


def _runs(lines: Sequence[LogLine]) -> list[LogRun]:
    """At least one. What stands before the first belongs to it: errors may be printed early."""
    parts: list[list[LogLine]] = [[]]
    begun = counted = timed = listed = False
    for line in lines:
        starts = START.search(line.text) is not None
        goes_on = NEXT.match(line.text.lstrip()) or _run_stat(line.text) or _timings(line.text)
        again = listed and MILLISECONDS["init"].search(line.text)
        if (starts and (begun or timed)) or (timed and goes_on) or again:
            parts.append([])
            begun = counted = timed = listed = False
        begun |= starts
        counted |= _run_stat(line.text) is not None
        timed |= "inference_avg_us" in _timings(line.text) or _option(line.text) is not None
        # LiteRT's list comes on the other stream, so that it may stand before its own beginning.
        if MILLISECONDS["avg"].search(line.text):
            timed, listed = timed or counted, True
        parts[-1].append(line)
    runs = [_read(part) for part in parts]
    return [run for run in runs if run.told] or [_read(lines)]


def _read(lines: Sequence[LogLine]) -> LogRun:
    timings: dict[str, Number] = {}
    options: list[Option] = []
    stats, headers, iterations = [], 0, None
    end = max((number for number, line in enumerate(lines) if line.text), default=0)
    for number, line in enumerate(lines):
        if header := HEADER.search(line.text):
            headers, iterations = headers + 1, int(header[1])
        if SUMMARY.search(line.text):
            options.clear()
        if option := _option(line.text):
            options.append(option)
        elif stat := _run_stat(line.text, last=number == end):
            stats.append((stat, headers, iterations))
        timings |= _timings(line.text)
    marks = (START, MILLISECONDS["avg"])
    marked = any(mark.search(line.text) for line in lines for mark in marks)
    return LogRun(lines, timings, stats, options, marked)


def _timings(text: str) -> dict[str, Number]:
    match = TIMINGS.search(text)
    if not match:
        return {}
    return {TIMING_KEYS[key]: _number(value) for key, value in TIMING.findall(match["pairs"])}


def _run_stat(text: str, last: bool = False) -> Stat | None:
    match = STAT.search(text)
    if not match or OPTION.match(text) or NOT_OF_RUNS.search(text[: match.start()]):
        return None
    return _stat(match, last)


def _option(text: str) -> Option | None:
    named, match = OPTION.match(text), STAT.search(text)
    if not named or (named["failed"] != "failed!" and not match):
        return None
    return Option(named["name"], _stat(match) if match else None)


def _stat(match: re.Match[str], last: bool = False) -> Stat:
    pairs = PAIR.findall(match[0])
    # A log that ends within the line may end within a number.
    if last and len(pairs) > 2 and pairs[-1][0] not in ("std", "p95"):
        pairs.pop()
    found = {key: _number(value) for key, value in pairs if key in STAT_KEYS}
    # One value for all, which is printed once.
    if found.get("count") and "first" not in found and "curr" in found:
        found |= dict.fromkeys(STAT_KEYS[1:], found["curr"]) | {"std": 0}
    return cast(Stat, {**NO_STAT, **found})


def _number(text: str) -> Number:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


# -- the numbers of a run --------------------------------------------------------------------


def _numbers(run: LogRun) -> LogNumbers:
    texts = [line.text for line in run.lines]
    warmup, inference = _roles(run)
    timings = {key: run.timings.get(key) for key in TIMING_KEYS.values()}
    milliseconds = {key: _last(pattern, texts) for key, pattern in MILLISECONDS.items()}
    known = {"init_us": _microseconds(milliseconds["session"] or milliseconds["init"])}
    if milliseconds["avg"]:
        warmup, inference = _litert_stats(milliseconds, warmup, inference)
        known |= {
            "first_us": warmup["first"],
            "warmup_avg_us": warmup["avg"],
            "inference_avg_us": inference["avg"],
        }
    timings = {k: known.get(k) if v is None else v for k, v in timings.items()}
    size = _last(MODEL_MB, texts)
    numbers = {
        **timings,
        "warmup": warmup,
        "inference": inference,
        "model_mb": _number(size[1]) if size else None,
        "delegate": find_delegate(texts),
        "memory": {key: _memory(patterns, texts) for key, patterns in MEMORY.items()},
        "ops": op_tables.parse(texts) or None,
    }
    return cast(LogNumbers, numbers)


def _roles(run: LogRun) -> tuple[Stat, Stat]:
    """The warm-up's and the measured runs' statistics.

    Two are in this order. One alone is told by its average, which the timings repeat, else by
    its header: the second or, where --warmup_runs=0 left but one, the one that announces as many
    iterations as the measured runs.
    """
    if len(run.stats) > 1:
        return run.stats[0][0], run.stats[1][0]
    if not run.stats:
        return NO_STAT, NO_STAT
    stat, header, iterations = run.stats[0]
    if _is_warmup(run, stat, header, iterations):
        return stat, NO_STAT
    return NO_STAT, stat


def _is_warmup(run: LogRun, stat: Stat, header: int, iterations: int | None) -> bool:
    average = stat["avg"]
    if average is not None and "inference_avg_us" in run.timings:
        inference, warmup = (run.timings.get(f"{k}_avg_us") for k in ("inference", "warmup"))
        same = average == inference or (inference is not None and abs(average - inference) < 1)
        return not same and average == warmup
    if header != 1:
        return False
    texts = (line.text for line in run.lines)
    given = {m[1].lower(): int(m[2]) for t in texts for m in PARAMETER.finditer(t)}
    warmup_runs = given.get("min warmup runs", given.get("warmup runs", 1))
    return iterations == warmup_runs or iterations == 1


def _litert_stats(
    milliseconds: dict[str, re.Match[str] | None], warmup: Stat, inference: Stat
) -> tuple[Stat, Stat]:
    """The `count=` lines, in us, are finer; where there are none the ms do."""
    if inference["count"] is None:
        found = {key: _microseconds(milliseconds[key]) for key in STAT_KEYS if key in milliseconds}
        found["count"] = _count(milliseconds["avg"])
        inference = cast(Stat, {**inference, **found})
    if warmup["count"] is None:
        warmup = {
            **warmup,
            "count": _count(milliseconds["warmup"]),
            "first": _microseconds(milliseconds["warmup_first"]),
            "avg": _microseconds(milliseconds["warmup"]),
        }
    return warmup, inference


def _microseconds(match: re.Match[str] | None) -> float | None:
    return round(float(match[1]) * 1e3, 3) if match else None


def _count(match: re.Match[str] | None) -> int | None:
    return int(match["count"]) if match and match["count"] else None


def _memory(patterns: Sequence[str], texts: Sequence[str]) -> Number | None:
    matches = [_last(re.compile(pattern), texts) for pattern in patterns]
    return next((_number(match[1]) for match in matches if match), None)


def _last(pattern: re.Pattern[str], texts: Sequence[str]) -> re.Match[str] | None:
    return next((match for text in reversed(texts) if (match := pattern.search(text))), None)


# -- performance options, warnings -----------------------------------------------------------


def _run_of(option: Option, runs: Sequence[LogRun]) -> LogRun:
    """The run that the summary's row is of, or one that knows no more than this row."""
    for run in runs:
        if option.stat in [stat for stat, *_ in run.stats]:
            return run
    assert option.stat is not None
    average = option.stat["avg"]
    timings = {} if average is None else {"inference_avg_us": average}
    return LogRun([], timings, [(option.stat, 2, None)], [], False)


def _describe(option: Option) -> str:
    if option.stat is None:
        return f"Performance option {option.name!r} failed."
    return f"Performance option {option.name!r}: {option.stat['avg']} us on average."


def _warnings(lines: Sequence[LogLine]) -> list[str]:
    told = [line for line in lines if line.level in ("W", "E", "F") and line.ours]
    return [line.text.strip() for line in told if not MINOR.search(line.text)]
