"""What TFLite's `benchmark_model` prints, line by line, and a shell script that prints it all.

Values are numbers, or what a shell makes a number of.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

DELEGATE = "TfLiteXNNPackDelegate"
Nodes = Sequence[tuple[str, Sequence[str]]]
"""Of a graph, in their order: the name of each and the operators in it, several in a delegate's."""

COMMON = {
    "graph": "",
    "num_threads": "-1",
    "num_runs": "50",
    "min_secs": "1.0",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "use_gpu": "false",
    "report_peak_memory_footprint": "false",
}
FLAGS = {
    "tflite": COMMON
    | {"use_xnnpack": "false", "use_nnapi": "false", "enable_op_profiling": "false"},
    "litert": COMMON | {"use_cpu": "true", "use_npu": "false", "use_profiler": "false"},
}
"""What each of the two programs knows, and the defaults."""


def usage(flavour: str) -> Iterator[str]:
    for name, value in FLAGS[flavour].items():
        yield f"ERROR: --{name}={value}"


def start(threads: object, graph: object) -> Iterator[str]:
    yield "INFO: STARTING!"
    yield "INFO: Log parameter values verbosely: [0]"
    yield f"INFO: Num threads: [{threads}]"
    yield f"INFO: Graph: [{graph}]"


def session(graph: object, milliseconds: object, model_mb: object) -> Iterator[str]:
    yield f"INFO: Loaded model {graph}"
    yield f"INFO: The input model file size (MB): {model_mb}"
    yield f"INFO: Initialized session in {milliseconds}ms."


def runs(least: int, seconds: float, values: Mapping[str, object]) -> Iterator[str]:
    """`values` are those of the `count=` line, in microseconds."""
    yield f"INFO: Running benchmark for at least {least} iterations and at least {seconds} seconds"
    yield "INFO: " + " ".join(f"{name}={value}" for name, value in values.items())
    yield ""


def timings(init: object, first: object, warmup: object, inference: object) -> Iterator[str]:
    yield (
        f"INFO: Inference timings in us: Init: {init}, First inference: {first}, "
        f"Warmup (avg): {warmup}, Inference (avg): {inference}"
    )


def memory(init: object, overall: object, peak: object) -> Iterator[str]:
    yield (
        "INFO: Memory footprint delta from the start of the tool (MB): "
        f"init={init} overall={overall}"
    )
    yield f"INFO: Overall peak memory footprint (MB) via periodic monitoring: {peak}"


def applied(name: str, nodes: Nodes | None = None) -> Iterator[str]:
    """That a delegate took the `nodes` that are its; all of them without."""
    kernels = [name for name, _ in nodes or () if name == DELEGATE]
    part = "completely executed by the delegate."
    if nodes and len(kernels) < len(nodes):
        part = f"partially executed by the delegate w/ {len(kernels)} delegate kernels."
    yield f"INFO: Explicitly applied {name} delegate, and the model graph will be {part}"


def fallback(name: str) -> Iterator[str]:
    yield (
        f"INFO: Though {name} delegate is explicitly applied, the model graph will not be "
        "executed by the delegate."
    )


def replacing(nodes: Nodes) -> Iterator[str]:
    """What goes to standard error where XNNPACK took nodes."""
    replaced = sum(len(operators) for name, operators in nodes if name == DELEGATE)
    total = sum(len(operators) for _, operators in nodes)
    # Neighbours outside the delegate are one part.
    parts = len(list(itertools.groupby(nodes, lambda node: node[0] == DELEGATE)))
    yield (
        f"VERBOSE: Replacing {replaced} out of {total} node(s) with delegate ({DELEGATE}) node, "
        f"yielding {parts} partitions for subgraph 0."
    )


def profile(nodes: Nodes, mean_us: float) -> Iterator[str]:
    """Rows of nodes, and above a delegate's its operators, whose time is counted twice.

    The time of a run is shared out evenly among the operators.
    """
    yield "INFO: Operator-wise Profiling Info for Regular Benchmark Runs:"
    yield f"{'=' * 30} Run Order {'=' * 30}"
    names = ("[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]")
    yield "\t".join(f"{name:>9}" for name in (*names, "[Name]"))
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
        yield "\t".join((f"{kind:>24}", *times, *shares, "0.000", "1", name))
    yield ""


def failed() -> Iterator[str]:
    yield "ERROR: Benchmarking failed."


# -- a program whose log was written beforehand ----------------------------------------------

OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "HARD_SWISH", "CONV_2D", "SOFTMAX")
PLAIN: Nodes = [(name, [name]) for name in OPERATORS]
SHARED: Nodes = [
    (DELEGATE, OPERATORS[:2]),
    ("HARD_SWISH", OPERATORS[2:3]),
    (DELEGATE, OPERATORS[3:]),
]
"""The graph of every model, as it is run without XNNPACK and with it."""

INIT_US, MODEL_MB = 20_000, 0.5
INIT_MB, OVERALL_MB, PEAK_MB = 10, 20, 40
PROFILED_US = 1000.0
PERCENT = {"first": 110, "curr": 100, "min": 98, "max": 130, "avg": 105, "std": 2}
PERCENTILES = {"p5": 99, "median": 100, "p95": 120}
"""Of an inference's time, in percent."""

BEFORE = {
    "unknown_flag": "unknown=' --num_runs=5'",
    "hang": 'read -r _ < "$PHONE_ROOT/state/never"',
    "crash": "kill -SEGV $$",
    "killed": "kill -KILL $$",
}
"""What a script with this fault does before it prints anything."""

IN_THE_LOG = ("apply_failed", "fallback", "no_percentiles")
"""The other faults: GPU and NNAPI are refused or silently left out; the binary is an old one."""


def script(flavour: str, fault: str = "") -> str:
    """A /bin/sh program with the flags and the log of the real one, which runs nothing.

    The phone tells by $PHONE_US how many microseconds an inference takes.
    """
    assert fault in ("", *BEFORE, *IN_THE_LOG), fault
    percent = PERCENT | (PERCENTILES if fault != "no_percentiles" else {})
    count = {name: f"$((PHONE_US * {part} / 100))" for name, part in percent.items()}
    first = "$((PHONE_US * 2))"
    profiling = '[ "$enable_op_profiling$use_profiler" = true ]'
    return "\n".join(
        (
            "#!/bin/sh",
            *(f"{name}={value}" for name, value in FLAGS[flavour].items()),
            "for word; do case $word in",
            f"--help) {_print(usage(flavour), '>&2')}\nexit 1 ;;",
            *(f"--{name}=*) {name}=${{word#*=}} ;;" for name in FLAGS[flavour]),
            '*) unknown="$unknown $word" ;;',
            "esac; done",
            BEFORE.get(fault, ""),
            _when('[ "$unknown" ]', _print(["WARN: Unconsumed cmdline flags:$unknown"])),
            _print(start("$num_threads", "$graph")),
            _when('[ ! -f "$graph" ]', _fail("Failed to load model $graph")),
            _when("[ $use_gpu = true ]", _asked_for("GPU", fault)),
            _when('[ "$use_nnapi" = true ]', _asked_for("NNAPI", fault)),
            _when('[ "$use_xnnpack" != false ]', _print(replacing(SHARED), ">&2")),
            _when('[ "$use_xnnpack" = true ]', _print(applied("XNNPACK", SHARED))),
            _print(session("$graph", INIT_US / 1e3, MODEL_MB)),
            _print(runs(1, 0.5, {"count": 1, "curr": first})),
            _print(runs(50, 1, {"count": "$num_runs", **count})),
            _print(timings(INIT_US, first, first, count["avg"])),
            _when(
                "[ $report_peak_memory_footprint = true ]",
                _print(memory(INIT_MB, OVERALL_MB, PEAK_MB)),
            ),
            _when(
                f'{profiling} && [ "$use_xnnpack" = false ]', _print(profile(PLAIN, PROFILED_US))
            ),
            _when(
                f'{profiling} && [ "$use_xnnpack" != false ]', _print(profile(SHARED, PROFILED_US))
            ),
            "exit 0\n",
        )
    )


def _asked_for(name: str, fault: str) -> str:
    if fault == "apply_failed":
        return _fail(f"Failed to apply {name} delegate.")
    return _print(fallback(name) if fault == "fallback" else applied(name))


def _fail(why: str) -> str:
    return f"{_print([f'ERROR: {why}', *failed()], '>&2')}\nexit 1"


def _print(lines: Iterable[str], stream: str = "") -> str:
    return "\n".join((f"cat {stream} <<END", *lines, "END"))


def _when(condition: str, then: str) -> str:
    return f"if {condition}; then\n{then}\nfi"
