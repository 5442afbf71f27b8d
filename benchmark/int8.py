r"""int8 of one network, made in every way: how fast, how large and how right each is.

Made and timed side by side: the float32 file; `stock`, TensorFlow's usual conversion; ours with
h-swish `fused`, `composite` and `equalized`; `uint8`, which is composite with a camera's bytes as
input, the others taking int8; `qat` if asked for; and as a
bound `relu6`, the same network with plain ReLU6 in place of h-swish. Without --weights a random
network takes the trained one's place, which is enough for timing.

    python -m benchmark int8 --model=small --weights=imagenet --calibration=folder:photos \
        --dataset=csv:labels.csv --methods=stock,ptq,qat --out=int8
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write, write_json
from mnv3_tf.measuring.latency import HostSettings
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks import CLASSIFY
from mnv3_tf.tasks.flags import define_network_flags, network_spec
from mnv3_tf.tasks.task import Parity
from mnv3_tf.tflite.reports import ExportReport, FileReport
from mnv3_tf.ui import cli, tables
from mnv3_tf.ui.settings import Checked, define, read, setting

SCHEMA_VERSION = 1
METHODS = ("stock", "ptq", "qat")
BATCH = 32
BASES = {"float": ("float",), "stock": ("stock", "stock_random"), "relu6": ("relu6",)}
"""What times are compared with: the first of these files that loads."""
TIMES = ("median_us", "ci_us", "p95_us", "samples", "spread", "rounds_us")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Int8Settings(Checked):
    """Of what network, by which methods, on which pictures.

    Raises UserError for what is missing or does not go together.
    """

    weights: str | None = setting(
        None, 'Weights of --model: "imagenet", or a file; random if not given.'
    )
    calibration: tuple[str, ...] = setting(
        (),
        "Pictures for int8; --methods=qat trains on them too, and on more if given several times.",
        repeated=True,
    )
    calibration_images: int = setting(512, "How many of them.", least=1)
    dataset: str | None = setting(None, "Pictures to evaluate on; without it nothing is evaluated.")
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    seed: int = setting(0, "Of random splits and weights.")
    methods: tuple[str, ...] = setting(("stock", "ptq"), "Of stock, ptq and qat.", choices=METHODS)
    qat_steps: int | None = setting(None, "Steps of qat, instead of the default.", least=1)
    output: Literal["probabilities", "logits"] = setting(
        "probabilities", "Of all files: probabilities or logits."
    )
    out: str = setting(MISSING, "Folder for the files, results.json, latency.png and accuracy.png.")

    def __post_init__(self) -> None:
        if not self.out:
            raise UserError("--out is missing; give the folder for what is made.")
        super().__post_init__()
        if self.weights and not self.calibration:
            raise UserError(
                "int8 needs pictures to calibrate on; give --calibration, such as "
                "--calibration=folder:photos. Labels are not needed."
            )
        for flag, given in (("dataset", self.dataset), ("methods=qat", "qat" in self.methods)):
            if given and not self.weights:
                raise UserError(f"A random network has no accuracy; give --{flag} with --weights.")


def define_flags(values: flags.FlagValues) -> None:
    define_network_flags(values)
    define(values, Int8Settings)
    define(values, HostSettings, without=("seed", "delegate"))
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked, timing = read(args, Int8Settings), read(args, HostSettings, delegate="xnnpack")
    named = network_spec(args)
    if named.task != CLASSIFY.name:
        raise UserError(f"Only classifiers are compared here, not --task={args.task}.")
    spec = named.backbone
    cli.import_tensorflow(args)
    rows = []
    for row in _workshop(asked, timing.threads, spec).make(asked.methods, asked.qat_steps):
        print(f"Made {row['path']}")
        rows.append(row)
    results = {"schema_version": SCHEMA_VERSION, "command": _command(args)}
    results |= time_rows(rows, timing)
    write_results(results, spec, Path(asked.out))
    show(results, spec)
    if args.json:
        print(json.dumps(results))


def _command(args: flags.FlagValues) -> str:
    given = (args[name].serialize() for name in args if args[name].present)
    return shlex.join(["python", "-m", "benchmark", "int8", *filter(None, given)])


def _workshop(asked: Int8Settings, threads: int, spec: NetworkSpec) -> "Workshop":
    from mnv3_tf.export.pictures import open_pictures
    from mnv3_tf.models.random_networks import noise_pictures, settled_classifier
    from mnv3_tf.training.trained import load_weights

    pictures = open_pictures(
        list(asked.calibration), asked.dataset, spec.resolution, asked.data_dir, asked.seed
    )
    calibration = pictures.calibration(asked.calibration_images, spec.resolution)
    if calibration is None:
        calibration = noise_pictures(spec.resolution, seed=asked.seed)
    split = pictures.evaluation
    evaluation = split.eval_batches(BATCH, spec.resolution) if split else ()
    if asked.weights:
        loaded = load_weights(spec, asked.weights)
        assert isinstance(loaded.spec, NetworkSpec)
        spec, model = loaded.spec, loaded.model
    else:
        model = settled_classifier(spec, calibration[:BATCH], asked.seed)
    return Workshop(
        Path(asked.out),
        spec,
        model,
        bool(asked.weights),
        calibration,
        pictures.sources,
        evaluation,
        asked.output,
        threads,
        asked.seed,
    )


@dataclass(frozen=True)
class Workshop:
    """Makes the files of one network. Pictures are in [-1, 1]; `evaluation` is in batches."""

    out: Path
    spec: NetworkSpec
    model: Any
    trained: bool
    calibration: Any
    sources: Any
    evaluation: Any
    output: Any
    threads: int
    seed: int

    def make(self, methods: Sequence[str], qat_steps: int | None = None) -> Iterator[Row]:
        yield self.ours("float")
        if "stock" in methods:
            yield (stock := self.stock())
            if stock["error"] and self.trained:
                # The speed of a file that loads nowhere must be taken from another's.
                yield self.settled(self.spec).stock("stock_random")
        if "ptq" in methods:
            int8 = {"quantize": "int8", "input_type": "int8"}
            for lowering in ("fused", "composite", "equalized"):
                yield self.ours(lowering, **int8, hard_swish=lowering)
            yield self.ours("uint8", quantize="int8", hard_swish="composite", input_type="uint8")
        if "qat" in methods:
            from mnv3_tf.export.pictures import training_on

            folder = self.out / "checkpoints"
            training = training_on(self.sources, self.spec.resolution, qat_steps, folder)
            yield self.ours("qat", training, quantize="int8", input_type="int8")
        yield self.relu6()

    def ours(self, name: str, training: Any = None, **options: Any) -> Row:
        from mnv3_tf.export.exporter import export
        from mnv3_tf.export.settings import ExportOptions

        path = self.out / f"{name}.tflite"
        report = export(
            self.spec,
            self.model,
            ExportOptions(output=self.output, threads=self.threads, **options),
            path,
            None,
            self.calibration,
            self.evaluation,
            training,
        )
        parity = Parity(
            report["images"], {"top1": report["top1"]}, report["agreement"], report["divergence"]
        )
        return self._row(path, report["method"], report, parity)

    def stock(self, name: str = "stock") -> Row:
        from benchmark.stock import convert_stock
        from mnv3_tf.export.parity import compare_answers
        from mnv3_tf.tflite.inspection import inspect
        from mnv3_tf.tflite.runtime import TFLiteModel

        path = self.out / f"{name}.tflite"
        with atomic_write(path) as temporary:
            temporary.write_bytes(convert_stock(self.model, self.calibration, self.output))
        file = inspect(path)
        loads = file["xnnpack"]["error"] is None
        exported = TFLiteModel(path, delegate=loads)
        parity = compare_answers(self.model, exported, self.evaluation, output=self.output)
        return self._row(path, "stock", file, parity)

    def relu6(self) -> Row:
        from mnv3_tf.models.random_networks import with_relu6_for_hard_swish

        bound = self.settled(with_relu6_for_hard_swish(self.spec))
        return bound.ours("relu6", quantize="int8", input_type="int8")

    def settled(self, spec: NetworkSpec) -> "Workshop":
        """For timing only: random weights, few pictures, nothing to judge by."""
        from mnv3_tf.models.random_networks import IMAGES, settled_classifier

        few = self.calibration[:IMAGES]
        model = settled_classifier(spec, few, self.seed)
        ends = (self.output, self.threads, self.seed)
        return Workshop(self.out, spec, model, False, few, None, (), *ends)

    def _row(
        self, path: Path, method: str | None, file: FileReport | ExportReport, parity: Parity
    ) -> Row:
        top1, share = parity.metrics["top1"], file["xnnpack"]
        expected, found = top1["float"], top1["exported"]
        return {
            "file": path.stem,
            "path": str(path),
            "network": "trained" if self.trained else "settled random",
            "method": method,
            "lowering": file["hard_swish"],
            "input": file["input"] and file["input"]["dtype"],
            "sha256": file["sha256"],
            "bytes": file["bytes"],
            "nodes": share["nodes"],
            "delegated": share["delegated"],
            "partitions": share["partitions"],
            "error": share["error"],
            "images": parity.images,
            "kernels": "built-in" if share["error"] else "xnnpack",
            "top1": found,
            "top1_loss": None if expected is None or found is None else 100 * (expected - found),
            "agreement": parity.agreement,
            "divergence": parity.divergence,
        }


# -- timing ----------------------------------------------------------------------------------


def time_rows(rows: Sequence[Row], settings: HostSettings) -> dict[str, Any]:
    """Times the files that load, interleaved, and adds the figures to copies of their rows.

    A row's "ratio" says how its time compares with each of `BASES`, {"value", "low", "high"}
    paired by round; None where either does not load.
    """
    import numpy as np

    from mnv3_tf.measuring import statistics
    from mnv3_tf.measuring.latency import benchmark_latency

    loading = [row for row in rows if not row["error"]]
    latency = benchmark_latency([row["path"] for row in loading], settings)
    timed = {row["file"]: m for row, m in zip(loading, latency["models"], strict=True)}
    rounds = {file: np.array(model["rounds_us"])[:, None] for file, model in timed.items()}
    bases = {
        base: next((file for file in files if file in timed), None) for base, files in BASES.items()
    }
    size = rows[0]["bytes"]

    def ratio(file: str, base: str | None) -> dict[str, float] | None:
        if file not in rounds or base is None:
            return None
        return asdict(statistics.ratio(rounds[file], rounds[base]))

    finished = [
        row
        | {"size_ratio": row["bytes"] / size}
        | {key: timed.get(row["file"], {}).get(key) for key in TIMES}
        | {"ratio": {name: ratio(row["file"], base) for name, base in bases.items()}}
        for row in rows
    ]
    kept = {key: latency[key] for key in ("date", "machine", "settings")}
    refusals = [
        f"{row['file']} does not load under XNNPACK: {row['error']}" for row in rows if row["error"]
    ]
    return {**kept, "rows": finished, "warnings": refusals + latency["warnings"]}


# -- results ---------------------------------------------------------------------------------

SPEED_COLUMNS = ("file", "MB", "size", "parts", "ms", "± %", *BASES)
ACCURACY_COLUMNS = ("file", "method", "h-swish", "kernels", "top-1", "loss", "same", "KL")
EXPLANATION = (
    "size: to float's. parts: pieces that XNNPACK computes. ms: median of one inference (fails: "
    "the file does not load), ± half of its 95 % interval. float, stock, relu6: the time by "
    "theirs, paired by round. loss: top-1 below the float network's, in points. same: part of the "
    "pictures to which both give the same class. KL: divergence from its probabilities, in nats."
)


def write_results(results: dict[str, Any], spec: NetworkSpec, out: Path) -> None:
    """results.json, latency.png and, where something was judged, accuracy.png."""
    from mnv3_tf.measuring.plots import plot_accuracy, plot_latency

    write_json(out / "results.json", results)
    bars = [_bar(row) for row in results["rows"]]
    plot_latency(bars, _title(results, spec), out / "latency.png")
    if judged := _judged(results["rows"]):
        images = judged[0]["images"]
        title = f"{_network(spec)}: top-1 on {images} pictures (one is {100 / images:.2g} points)"
        plot_accuracy(judged, title, out / "accuracy.png")


def show(results: dict[str, Any], spec: NetworkSpec) -> None:
    rows = results["rows"]
    tables.show(_title(results, spec), SPEED_COLUMNS, [_speed(row) for row in rows])
    if judged := _judged(rows):
        title = f"Accuracy on {judged[0]['images']} pictures"
        tables.show(title, ACCURACY_COLUMNS, [_accuracy(row) for row in judged])
    print(EXPLANATION)
    if names := [row["file"] for row in rows if row["network"] != "trained"]:
        print(f"With random weights and settled BatchNorm: {', '.join(names)}.")
    for warning in results["warnings"]:
        print(f"Warning: {warning}")


def _judged(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["top1"] is not None]


def _network(spec: NetworkSpec) -> str:
    return f"{spec.name}, {spec.resolution}x{spec.resolution}"


def _title(results: dict[str, Any], spec: NetworkSpec) -> str:
    threads = results["settings"]["threads"]
    s = "" if threads == 1 else "s"
    return f"{_network(spec)}, {results['machine']['cpu']}, {threads} thread{s}"


def _bar(row: Row) -> Row:
    """What `plot_latency` draws of a row."""
    if row["error"]:
        text = "does not load under XNNPACK"
    else:
        ratios = [f"{row['ratio'][b]['value']:.2f}x {b}" for b in BASES if row["ratio"][b]]
        text = f"{row['median_us'] / 1e3:.2f} ms  {', '.join(ratios[:2])}"
    group = {"float": "none", "relu6": "bound"}.get(row["file"], row["method"])
    return row | {"name": row["file"], "quantize": group, "text": text}


def _speed(row: Row) -> tuple[object, ...]:
    start = (row["file"], f"{row['bytes'] / 1e6:.2f}", f"{row['size_ratio']:.2f}")
    if row["error"]:
        return (*start, "-", "fails", "-", *("-" for _ in BASES))
    low, high = row["ci_us"]
    return (
        *start,
        row["partitions"],
        f"{row['median_us'] / 1e3:.3f}",
        f"{50 * (high - low) / row['median_us']:.1f}",
        *(f"{ratio['value']:.2f}" if ratio else "-" for ratio in row["ratio"].values()),
    )


def _accuracy(row: Row) -> tuple[object, ...]:
    return (
        row["file"],
        row["method"] or "-",
        row["lowering"],
        row["kernels"],
        f"{row['top1']:.3f}",
        f"{row['top1_loss']:.1f}",
        f"{row['agreement']:.3f}",
        "-" if row["divergence"] is None else f"{row['divergence']:.3f}",
    )
