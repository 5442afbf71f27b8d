"""Stands in for TFLite's `benchmark_model` on the fake phone: same flags, same lines.

The model is run for real, by ai-edge-litert. What is invented: times grow where the phone has
lowered its clock, memory is this process's, and the time of a run is shared out evenly among its
operators.

Faults, given as --stand_in_NAME=VALUE: hang, crash, killed, fallback, apply_failed, slow_every=N
(each Nth run takes four times as long), no_percentiles. "steady" is none: each inference counts
as a millisecond, so that a busy computer is not taken for a phone that was interfered with.
"""

import itertools
import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path

from mnv3_tf.export.runtime import partition_members

DELEGATE = "TfLiteXNNPackDelegate"
KNOWN = {
    "tflite": {
        "graph": "",
        "num_threads": "-1",
        "num_runs": "50",
        "min_secs": "1.0",
        "warmup_runs": "1",
        "warmup_min_secs": "0.5",
        "use_xnnpack": "false",
        "use_gpu": "false",
        "use_nnapi": "false",
        "enable_op_profiling": "false",
        "report_peak_memory_footprint": "false",
    },
    "litert": {
        "graph": "",
        "num_threads": "-1",
        "num_runs": "50",
        "min_secs": "1.0",
        "warmup_runs": "1",
        "warmup_min_secs": "0.5",
        "use_cpu": "true",
        "use_gpu": "false",
        "use_npu": "false",
        "use_profiler": "false",
        "report_peak_memory_footprint": "false",
    },
}


def info(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def error(text: str) -> None:
    print(f"ERROR: {text}", file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    given = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    flavour = given.pop("stand_in")
    faults = {k.removeprefix("stand_in_"): v for k, v in given.items() if k.startswith("stand_in_")}
    given = {name: value for name, value in given.items() if not name.startswith("stand_in_")}
    if "help" in given:
        for name, value in KNOWN[flavour].items():
            error(f"--{name}={value}")
        return 1
    unknown = [f"--{name}={value}" for name, value in given.items() if name not in KNOWN[flavour]]
    if unknown or "unknown_flag" in faults:
        info_line = " ".join(unknown or ["--num_runs=5"])
        print(f"WARN: Unconsumed cmdline flags: {info_line}", flush=True)
    if "hang" in faults:
        time.sleep(3600)
    if "crash" in faults:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "killed" in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    return benchmark(KNOWN[flavour] | given, faults, flavour)


def benchmark(flags: dict[str, str], faults: dict[str, str], flavour: str) -> int:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph, started = flags["graph"], time.perf_counter()
    info("STARTING!")
    info("Log parameter values verbosely: [0]")
    info(f"Num threads: [{flags['num_threads']}]")
    info(f"Graph: [{graph}]")
    if not Path(graph).is_file():
        error(f"Could not open '{graph}'.")
        error(f"Failed to load model {graph}")
        return failed()
    info(f"Loaded model {graph}")
    if flags["use_gpu"] == "true" and "apply_failed" in faults:
        error("Failed to apply GPU delegate.")
        return failed()
    plain = flags.get("use_xnnpack") == "false"
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    try:
        interpreter = Interpreter(
            graph, num_threads=max(1, int(flags["num_threads"])), experimental_op_resolver_type=kind
        )
        before = interpreter._interpreter.NumNodes()
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as problem:
        error(f"Failed to initialize: {problem}")
        return failed()
    for flag, name in (("use_gpu", "GPU"), ("use_nnapi", "NNAPI")):
        if flags.get(flag) == "true" and "fallback" in faults:
            info(
                f"Though {name} delegate is explicitly applied, the model graph will not be "
                "executed by the delegate."
            )
        elif flags.get(flag) == "true":
            info(
                f"Explicitly applied {name} delegate, and the model graph will be completely "
                "executed by the delegate."
            )
    nodes = executed(interpreter, before)
    if not plain:
        tell_share(nodes, before, explicit=flags.get("use_xnnpack") == "true")
    info(f"The input model file size (MB): {Path(graph).stat().st_size / 1e6:g}")
    init_us = 1e6 * (time.perf_counter() - started)
    info(f"Initialized session in {init_us / 1e3:g}ms.")
    slow = float(os.environ.get("PHONE_SLOWDOWN", "1")) * slowdown(faults)
    told = (slow, "no_percentiles" not in faults, "steady" in faults)
    warmup = timed(interpreter.invoke, 1, 0.02, *told)
    measured = timed(interpreter.invoke, int(flags["num_runs"]), 0.0, *told)
    info(
        f"Inference timings in us: Init: {init_us:.0f}, First inference: {warmup[0]}, "
        f"Warmup (avg): {statistics.mean(warmup):g}, Inference (avg): {statistics.mean(measured):g}"
    )
    if flags["report_peak_memory_footprint"] == "true":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        info(
            "Memory footprint delta from the start of the tool (MB): "
            f"init={peak / 4:g} overall={peak / 2:g}"
        )
        info(f"Overall peak memory footprint (MB) via periodic monitoring: {peak:g}")
    if flags.get("enable_op_profiling") == "true":
        profile(nodes, statistics.mean(measured))
    return 0


def failed() -> int:
    error("Benchmarking failed.")
    return 1


def slowdown(faults: dict[str, str]) -> float:
    if "slow_every" not in faults:
        return 1.0
    counter = Path(os.environ["PHONE_ROOT"]) / "state" / "runs"
    count = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(count))
    return 4.0 if count % int(faults["slow_every"]) == 0 else 1.0


def timed(
    invoke, runs: int, seconds: float, slow: float, percentiles: bool, steady: bool
) -> list[int]:
    print(
        f"INFO: Running benchmark for at least {runs} iterations and at least {seconds:g} seconds"
    )
    times: list[int] = []
    began = time.perf_counter()
    while len(times) < runs or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        invoke()
        taken = 1e-3 + 1e-6 * (len(times) % 5) if steady else time.perf_counter() - before
        times.append(max(1, int(1e6 * slow * taken)))
    ordered = sorted(times)
    if len(set(times)) == 1:
        same = "(all same)" if len(times) > 1 else ""
        info(f"count={len(times)} curr={times[-1]}{same}")
        return times
    line = (
        f"count={len(times)} first={times[0]} curr={times[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={statistics.mean(times):g} std={int(statistics.pstdev(times))}"
    )
    if percentiles:
        low, middle, high = (ordered[len(times) * part // 100] for part in (5, 50, 95))
        line += f" p5={low} median={middle} p95={high}"
    info(line)
    print(flush=True)
    return times


def executed(interpreter, count: int) -> list[tuple[str, list[str]]]:
    """The nodes in their order and the operators in each; `count` operators are in the file."""
    names = [details["op_name"] for details in interpreter._get_ops_details()[:count]]
    parts = partition_members(interpreter._get_ops_details(), count).values()
    taken = {number for members in parts for number in members}
    nodes = {number: (name, [name]) for number, name in enumerate(names) if number not in taken}
    nodes |= {members[0]: (DELEGATE, [names[number] for number in members]) for members in parts}
    return [nodes[number] for number in sorted(nodes)]


def tell_share(nodes: list[tuple[str, list[str]]], total: int, explicit: bool) -> None:
    kernels = [operators for name, operators in nodes if name == DELEGATE]
    replaced = sum(map(len, kernels))
    # Neighbours outside the delegate are one part.
    partitions = len(list(itertools.groupby(nodes, lambda node: node[0] == DELEGATE)))
    print(
        f"VERBOSE: Replacing {replaced} out of {total} node(s) with delegate ({DELEGATE}) node, "
        f"yielding {partitions} partitions for subgraph 0.",
        file=sys.stderr,
        flush=True,
    )
    whole = "completely executed by the delegate."
    part = f"partially executed by the delegate w/ {len(kernels)} delegate kernels."
    if explicit:
        info(
            "Explicitly applied XNNPACK delegate, and the model graph will be "
            f"{whole if replaced == total else part}"
        )


def profile(nodes: list[tuple[str, list[str]]], mean_us: float) -> None:
    """Rows of nodes, and above a delegate's its operators, whose time is counted twice."""
    info("Operator-wise Profiling Info for Regular Benchmark Runs:")
    print(f"{'=' * 30} Run Order {'=' * 30}")
    names = ("[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]")
    print("\t".join(f"{name:>9}" for name in (*names, "[Name]")))
    rows = []
    for number, (name, operators) in enumerate(nodes):
        if name == DELEGATE:
            inner = enumerate(operators)
            rows += [("DELEGATE_PROFILED", 1, f"Delegate/{op}:{place}") for place, op in inner]
        rows.append((name, len(operators), f"[{name}]:{number}"))
    total, done = sum(size for _, size, _ in rows), 0
    each = mean_us / 1e3 / sum(len(operators) for _, operators in nodes)
    for kind, size, name in rows:
        done += size
        times = (f"{each * size:.6f}", f"{each * size:.6f}")
        shares = (f"{100 * size / total:.3f}%", f"{100 * done / total:.3f}%")
        print("\t".join((f"{kind:>24}", *times, *shares, "0.000", "1", name)))
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
