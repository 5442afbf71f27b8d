"""Stands in for TFLite's `benchmark_model` on the fake phone: same flags, same lines.

The model is run for real, by ai-edge-litert. What is invented: times grow where the phone has
lowered its clock, memory is this process's, and the time of a run is shared out evenly among its
operators.
"""

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import printed

from mnv3_tf.tflite.causes import partition_members


def tell(lines: Iterable[str], stream=sys.stdout) -> None:
    for line in lines:
        print(line, file=stream, flush=True)


def main(words: list[str]) -> int:
    given = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    if "help" in given:
        tell(printed.usage("tflite"), sys.stderr)
        return 1
    unknown = [f"--{name}={value}" for name, value in given.items() if name not in FLAGS]
    if unknown:
        tell([f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}"])
    return benchmark(FLAGS | given)


FLAGS = printed.FLAGS["tflite"]


def benchmark(flags: dict[str, str]) -> int:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph, started = flags["graph"], time.perf_counter()
    tell(printed.start(flags["num_threads"], graph))
    if not Path(graph).is_file():
        return failed(f"Failed to load model {graph}")
    plain = flags["use_xnnpack"] == "false"
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    try:
        interpreter = Interpreter(
            graph, num_threads=max(1, int(flags["num_threads"])), experimental_op_resolver_type=kind
        )
        before = interpreter._interpreter.NumNodes()
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as problem:
        return failed(f"Failed to initialize: {problem}")
    nodes = executed(interpreter, before)
    if not plain:
        tell(printed.replacing(nodes), sys.stderr)
        tell(printed.applied("XNNPACK", nodes))
    init_us = 1e6 * (time.perf_counter() - started)
    tell(printed.session(graph, f"{init_us / 1e3:g}", f"{Path(graph).stat().st_size / 1e6:g}"))
    warmup = timed(interpreter.invoke, 1, 0.02)
    measured = timed(interpreter.invoke, int(flags["num_runs"]), 0.0)
    means = [f"{statistics.mean(times):g}" for times in (warmup, measured)]
    tell(printed.timings(round(init_us), warmup[0], *means))
    if flags["report_peak_memory_footprint"] == "true":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        tell(printed.memory(*(f"{part:g}" for part in (peak / 4, peak / 2, peak))))
    if flags["enable_op_profiling"] == "true":
        tell(printed.profile(nodes, statistics.mean(measured)))
    return 0


def failed(why: str) -> int:
    tell([f"ERROR: {why}", *printed.failed()], sys.stderr)
    return 1


def timed(invoke: Callable[[], object], least: int, seconds: float) -> list[int]:
    times: list[int] = []
    slow, began = float(os.environ.get("PHONE_SLOWDOWN", "1")), time.perf_counter()
    while len(times) < least or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        invoke()
        times.append(max(1, int(1e6 * slow * (time.perf_counter() - before))))
    tell(printed.runs(least, seconds, statistics_of(times)))
    return times


def statistics_of(times: list[int]) -> dict[str, object]:
    if len(set(times)) == 1:
        same = "(all same)" if len(times) > 1 else ""
        return {"count": len(times), "curr": f"{times[-1]}{same}"}
    ordered = sorted(times)
    low, middle, high = (ordered[len(times) * part // 100] for part in (5, 50, 95))
    return {
        "count": len(times),
        "first": times[0],
        "curr": times[-1],
        "min": ordered[0],
        "max": ordered[-1],
        "avg": f"{statistics.mean(times):g}",
        "std": int(statistics.pstdev(times)),
        "p5": low,
        "median": middle,
        "p95": high,
    }


def executed(interpreter, count: int) -> printed.Nodes:
    """What the interpreter runs; `count` operators are in the file."""
    names = [details["op_name"] for details in interpreter._get_ops_details()[:count]]
    parts = partition_members(interpreter._get_ops_details()).values()
    taken = {number for members in parts for number in members}
    nodes = {number: (name, [name]) for number, name in enumerate(names) if number not in taken}
    nodes |= {
        members[0]: (printed.DELEGATE, [names[number] for number in members]) for members in parts
    }
    return [nodes[number] for number in sorted(nodes)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
