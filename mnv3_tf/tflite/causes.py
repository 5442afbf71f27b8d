"""Why a .tflite does not load or run: what the runtime says, as a clause that names the remedy."""

import re
from collections.abc import Collection, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mnv3_tf.tflite.model_graph import FLEX, Graph

DAMAGED = "is cut short or damaged; copy or export it again"
NOT_VERIFIED = ("not a valid Flatbuffer", "schema version")
"""What the runtime says of a file of which no offset can be trusted."""

SENSELESS = (
    *("out of range buffer", "Missing registration", "Invalid tensor index", "codec can't decode"),
    *("invalidly specified", "inconsistent model", "lacks data"),
)
"""What it says of one whose offsets are good and whose numbers are not."""

COMPILED = {
    "edgetpu-custom-op": ("the Edge TPU", "edgetpu_compiler"),
    "ethos-u": ("Arm's Ethos-U", "vela"),
    "NeutronGraph": ("NXP's Neutron", "neutron-converter"),
    "DISPATCH_OP": ("a phone's NPU", "LiteRT's compiler for it"),
}
"""What other processors' compilers leave of a file, by the name of the operator in it."""


def cause_of(error: str, graph: Graph | None) -> str:
    """What follows the file's name in a sentence, without a full stop.

    `error` is the runtime's message; `graph` is None where the file could not be verified.
    """
    if graph is None or any(text in error for text in (*NOT_VERIFIED, *SENSELESS)):
        return DAMAGED
    runtime = f"LiteRT {metadata.version('ai-edge-litert')}"
    versions = re.findall(r"opcode '(\w+)' version '(\d+)'", error)
    unknown = [f"{name} version {version}" for name, version in versions]
    unknown += [f"operator number {number}" for number in re.findall(r"out of range: (\d+)", error)]
    if unknown:
        return (
            f"needs {' and '.join(unknown)}, which {runtime} does not have; convert it with an "
            "older TensorFlow, or update ai-edge-litert"
        )
    custom = sorted({op.op for op in graph.operators if op.custom is not None})
    flex = [name for name in custom if name.startswith(FLEX)]
    if flex and "Select TensorFlow op" in error:
        return (
            f"holds operators of TensorFlow itself ({', '.join(flex)}), which {runtime} does not "
            "have; convert the model again without SELECT_TF_OPS, from built-in operators"
        )
    if named := re.search(r"unresolved custom op: ([^\s,]+)", error):
        return _custom(named[1].rstrip("."), runtime)
    if re.search(r"bad_alloc|[Oo]ut of memory|MemoryError", error):
        return short_of_memory(None)
    return f"does not run: {error}; copy it again, or convert it again for the built-in operators"


def _custom(name: str, runtime: str) -> str:
    if name in COMPILED:
        processor, compiler = COMPILED[name]
        return (
            f"was compiled for {processor} ({name}) and runs there alone; give the file from "
            f"before {compiler}"
        )
    return (
        f"holds the custom operator {name}, which {runtime} does not have; give a file that was "
        "converted to built-in operators, or run it where that operator comes from"
    )


def short_of_memory(wanted: int | None) -> str:
    """`wanted` are the bytes of its largest tensor, where they are known."""
    amount = "more memory than there is" if wanted is None else f"over {wanted / 1e9:.1f} GB"
    return f"needs {amount} to run, of {_free_gb()}; give a smaller --input_shape, or free memory"


def free_memory() -> int | None:
    """Bytes; None where the system does not say."""
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _free_gb() -> str:
    free = free_memory()
    return "memory unknown" if free is None else f"{free / 1e9:.1f} GB that are free"


def of_any_size(inputs: Iterable[Sequence[int]]) -> str | None:
    """What is wrong where a side must be said first; `inputs` are shapes with -1 for such sides."""
    for shape in inputs:
        if -1 in shape:
            sides = " x ".join("any" if side == -1 else str(side) for side in shape)
            usual = 224 if len(shape) == 4 else 16
            example = "x".join(str(usual if side == -1 else side) for side in shape)
            return f"takes an input of any size ({sides}); say which: --input_shape={example}"
    return None


def crash_message(status: int, stderr: str) -> str:
    """What the runtime last said before it took the process with it."""
    said = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.strip()]
    said = [line for line in said if not line.startswith(("INFO", "WARNING", "W0", "I0"))]
    how = f"stopped by signal {-status}" if status < 0 else f"exit status {status}"
    return f"the runtime crashed ({how}{': ' + said[-1].strip() if said else ''})"


def load_error(interpreter: Any, error: Exception) -> str:
    """The runtime's message, with the operators that its node number stands for.

    XNNPACK's messages number the nodes that it has added.
    """
    # The runtime glues its messages together, the first one often several times.
    glued = re.sub(r"(?<=\S)(?=failed to create|unsupported |Node number)", "\n", str(error))
    parts = [" ".join(part.split()).rstrip(".") for part in glued.splitlines()]
    reason = ", ".join(dict.fromkeys(part for part in parts if part))
    numbered = re.search(r"[Nn]ode number (\d+)", reason)
    if not numbered:
        return reason
    number = int(numbered[1])
    try:
        operators = interpreter._get_ops_details()
        members = partition_members(operators).get(number, [number])
        named = [_operator_name(interpreter, operators[i]) for i in members]
    except Exception:
        # After a failure the interpreter may not answer; the reason alone must do.
        return reason
    span = named[0] if len(named) == 1 else f"{len(named)} operators from {named[0]} to {named[-1]}"
    return f"{reason} (node {number} is {span})"


def partition_members(operators: Sequence[dict[str, Any]]) -> dict[int, list[int]]:
    """For every delegate's node, the numbers of the operators that it replaced.

    `operators` is `Interpreter._get_ops_details()` after allocation: the nodes of the file, then
    one per partition. LiteRT says how many were replaced only in a log that Python cannot turn on,
    so each partition is walked from its outputs back to its inputs.
    """
    nodes = [op for op in operators if op["op_name"] != "DELEGATE"]
    producer = {int(tensor): op["index"] for op in nodes for tensor in op["outputs"]}
    members_of = {}
    for partition in operators[len(nodes) :]:
        borders: Collection[int] = {int(tensor) for tensor in partition["inputs"]}
        waiting, members = [int(tensor) for tensor in partition["outputs"]], set[int]()
        while waiting:
            tensor = waiting.pop()
            number = producer.get(tensor)
            if number is None or number in members or tensor in borders:
                continue
            members.add(number)
            waiting.extend(int(source) for source in operators[number]["inputs"])
        members_of[int(partition["index"])] = sorted(members)
    return members_of


def _operator_name(interpreter: Any, operator: dict[str, Any]) -> str:
    name = interpreter._get_tensor_details(int(operator["outputs"][0]), 0)["name"]
    return f"{operator['op_name']} {short_name(name)!r}"


def short_name(name: str) -> str:
    """The layer's part of a name into which the converter put everything it fused: "a;b;1"."""
    parts = [part for part in name.split(";") if part and not part.isdigit()]
    return parts[-1] if parts else name
