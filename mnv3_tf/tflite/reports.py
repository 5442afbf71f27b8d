"""What is known of a .tflite as JSON: what is inside it, how it differs from another, and the
report of its export. Keys are those of m.report.json and of `inspect --json`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from mnv3_tf.files import write_json
from mnv3_tf.networks.pixels import CLIENTS, View
from mnv3_tf.tasks import TASKS
from mnv3_tf.tasks.task import Metric, Pair, Parity

# -- one file --------------------------------------------------------------------------------


class Tensor(TypedDict):
    """An input or output; a float one has neither scale nor zero point."""

    dtype: str
    shape: list[int]
    scale: float | None
    zero_point: int | None


class End(Tensor):
    """An input or output: `name` is that of the signature, or else of the tensor.

    `signature` is the shape with -1 for each side that may change. `meaning` says what an input
    takes, or an output gives, and how that is known.
    """

    name: str
    tensor: str
    signature: list[int]
    meaning: str


class Entry(TypedDict):
    """A signature by which a file may be asked: its name, and those of what it takes and gives."""

    name: str
    inputs: list[str]
    outputs: list[str]


class Listed(TypedDict):
    """How many operators a delegate is documented to take; `outside` counts the others."""

    takes: int
    outside: dict[str, int]


class Share(TypedDict):
    """XNNPACK's share of the operators.

    `nodes` are in the file, `delegated` among them, in `partitions`; `outside` counts the others by
    operator. `error` is why XNNPACK refuses the file: then all but `nodes` are None.
    """

    nodes: int
    delegated: int | None
    partitions: int | None
    outside: dict[str, int] | None
    error: str | None


class OperatorRow(TypedDict):
    """An operator and its first output; `activation` is the fused one, or ""."""

    index: int
    op: str
    version: int
    activation: str
    name: str
    dtype: str
    shape: list[int]
    delegated: bool


class Ends(TypedDict):
    """All of a file's, in its order."""

    inputs: list[End]
    outputs: list[End]


class FileReport(Ends):
    """What can be read from a file alone.

    `quantize` is "none", "float16", "dynamic" or "int8", guessed from the types. `hard_swish` is
    "fused" (HARD_SWISH operators), "composite" (ADD with RELU6, then MUL), "mixed" or "none".
    `input` and `output` are the first ones of `inputs` and `outputs`; `ops` counts operators;
    `labels` are None without; `metadata` names the entries that there are, and `about` is what they
    say of the model in words, such as its author. `cause` is why nothing
    here runs the file as it stands, None of one that runs. `delegates` says what the GPU delegate
    and the Edge TPU are documented to take, `hints` what keeps delegates from operators, and what
    helps.
    """

    sha256: str
    bytes: int
    quantize: str
    hard_swish: str
    input: Tensor | None
    output: Tensor | None
    signatures: list[Entry]
    ops: dict[str, int]
    float_islands: int
    subgraphs: int
    metadata: list[str]
    about: dict[str, str]
    labels: list[str] | None
    cause: str | None
    xnnpack: Share
    delegates: dict[str, Listed]
    hints: list[str]
    operators: list[OperatorRow]
    compare: NotRequired["Comparison"]


# -- two files -------------------------------------------------------------------------------


class LayerRow(TypedDict):
    """A layer of a file against the same layer of the reference; `index` is the running order.

    `sqnr_db` is after the best gains, one for each channel or one for the tensor;
    `sqnr_db_one_gain` after the latter, which is `gain`. `drop_db` is the loss against the worst of
    the layers that this one reads, None where it reads the picture alone. `tensor` is what the file
    calls the layer's output.
    """

    index: int
    name: str
    tensor: str
    op: str
    sqnr_db: float
    sqnr_db_one_gain: float
    gain: float | None
    drop_db: float | None


class Comparison(TypedDict):
    """A file against a reference, on the same pictures.

    `unmatched` are layers that the reference does not have. `agreement` is the part of the pictures
    with the same top-1, `divergence` the mean Kullback-Leibler divergence in nats; both are None
    where the files give no classes, or not as many. `dataset` is None for noise. `notes` tell
    what was not certain of a file.
    """

    images: int
    per_channel: bool
    layers: list[LayerRow]
    unmatched: list[str]
    agreement: float | None
    divergence: float | None
    reference: NotRequired[str]
    dataset: NotRequired[str | None]
    notes: NotRequired[list[str]]


# -- an export -------------------------------------------------------------------------------


class LayerNoise(TypedDict):
    """Signal to quantisation noise of a layer."""

    name: str
    sqnr_db: float


class LayerSteps(TypedDict):
    """How many int8 steps a layer is off: `export.parity.layer_steps` says of what."""

    name: str
    op: str
    max_steps: int
    share_beyond_one_step: float
    steps_off: float


class Latency(TypedDict):
    """In milliseconds."""

    threads: int
    median: float
    p95: float


class Simulation(TypedDict):
    """The fake-quantised model beside the int8 file: its own top-1, its agreement with the file
    (of classifiers), and the first layer in which the file computes something else.
    """

    first_parting: LayerSteps | None
    top1: NotRequired[float | None]
    agreement: NotRequired[float | None]


class StemTrial(TypedDict):
    """Divergences from the float network, in nats, of the stems that were tried."""

    chosen: str
    divergence: Mapping[str, float]


class Tuning(TypedDict):
    """Divergences from the float network, in nats, before and after biases were tuned."""

    before: float
    after: float


class Int8Notes(TypedDict, total=False):
    """How an int8 file was made."""

    simplified: Mapping[str, Any]
    stem: StemTrial
    warnings: list[str]
    qat_steps: int
    bias_correction: Tuning | None


class Seen(TypedDict):
    """The figures of one view of the pictures, and who sees them so."""

    seen_by: str
    top1: Pair


class _Made(TypedDict):
    sha256: str
    bytes: int
    model: str
    task: str
    spec_hash: str
    quantize: str
    method: str | None
    hard_swish: str
    hard_swish_reason: str
    target: str
    input: Tensor | None
    output: Tensor | None
    ops: dict[str, int]
    float_islands: int
    xnnpack: Share
    images: int
    agreement: float | None
    divergence: float | None
    top1: Pair
    simulation: Simulation | None
    latency_ms: Latency
    layers: list[LayerNoise]
    trained_on: NotRequired[dict[str, Any] | None]
    view: NotRequired[View | None]
    views: NotRequired[dict[View, Seen]]


class ExportReport(_Made, Int8Notes):
    """m.report.json: of the file, of how it was made, and of the network that it was made of.

    The metrics of the network's task stand under their own keys beside "top1"; see `metrics`. They
    are of `view`, which is None where nobody said it; `views` has them by every view of the task,
    where that was measured. `latency_ms` is of this machine; `trained_on` has the fields of
    `data.sources.Origin`.
    """


def with_metrics(
    report: ExportReport, parity: Parity, by_view: Mapping[View, Parity] | None = None
) -> ExportReport:
    """The report with the figures of its task, and those by view where there are several."""
    views = {
        view: {"seen_by": CLIENTS[view], **seen.metrics}
        for view, seen in sorted((by_view or {}).items())
    }
    more = {"views": views} if views else {}
    return cast(ExportReport, {**report, **parity.metrics, **more})


def metrics(report: ExportReport | Seen) -> list[tuple[Metric, Pair]]:
    """What was measured of the network and of the file, of any task's metrics."""
    figures = cast(Mapping[str, Pair], report)
    known = [metric for task in TASKS.values() for metric in task.metrics if metric.key in figures]
    pairs = [(metric, figures[metric.key]) for metric in known]
    return [(metric, pair) for metric, pair in pairs if pair["exported"] is not None]


def exported_top1(report: ExportReport | None) -> float | None:
    """From 0 to 1; None where nobody has measured it."""
    top1 = report.get("top1") if report else None
    return top1.get("exported") if top1 else None


def path_beside(file: str | Path) -> Path:
    """Where the report of a .tflite lies."""
    return Path(file).with_suffix(".report.json")


def write(report: ExportReport, file: str | Path) -> None:
    """Beside the .tflite `file`."""
    write_json(path_beside(file), report)


def read(path: str | Path) -> ExportReport | None:
    """A report; None for what is absent or none. One of an older export may lack keys."""
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return None
    return cast(ExportReport, tree) if isinstance(tree, dict) else None


def read_beside(file: str | Path, sha256: str) -> ExportReport | None:
    """That of a .tflite, None where there is none or it is of another content."""
    report = read(path_beside(file))
    return report if report and report.get("sha256") == sha256 else None
