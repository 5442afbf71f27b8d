r"""int8 of one network, made in every way: how fast, how large and how right each is.

Made and timed side by side: the float32 file; `stock`, TensorFlow's usual conversion; ours with
h-swish `fused`, `composite` and `equalized`; `uint8`, which is composite with a camera's bytes as
input, the others taking int8; `qat` if asked for; and as a
bound `relu6`, the same network with plain ReLU6 in place of h-swish. Without --weights a random
network takes the trained one's place, which is enough for timing.

    python -m benchmark int8 --model=small --weights=imagenet --calibration=folder:photos \
        --dataset=csv:labels.csv --methods=stock,ptq,qat --out=int8
    python -m benchmark int8 --model=small --device=arm:cortex-a76,arm:cortex-a73 --out=int8

With ARM cores the files are counted (see benchmark arm) and not timed.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from absl import flags

from benchmark import arm, int8_results
from benchmark.int8_results import MadeFile
from benchmark.latency import counting, define_device_flag
from mnv3_tf.errors import UserError
from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.arm import count_results
from mnv3_tf.measuring.latency import HostSettings
from mnv3_tf.measuring.timers import HOST
from mnv3_tf.networks.spec import NetworkSpec
from mnv3_tf.tasks import CLASSIFY
from mnv3_tf.tasks.flags import define_network_flags
from mnv3_tf.tasks.specs import NamedNetwork, make_spec
from mnv3_tf.tasks.task import Array, Batches, Head, Parity
from mnv3_tf.tflite.reports import ExportReport, FileReport
from mnv3_tf.ui import cli
from mnv3_tf.ui.settings import Checked, command, define, read, setting

if TYPE_CHECKING:
    from mnv3_tf.data.dataset import Split
    from mnv3_tf.quantization.pipeline import Training

METHODS = ("stock", "ptq", "qat")
BATCH = 32
Output = Literal["probabilities", "logits"]


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
    output: Output = setting("probabilities", "Of all files: probabilities or logits.")
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
    define_device_flag(values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked, timing = read(args, Int8Settings), read(args, HostSettings, delegate="xnnpack")
    on_arm = None if args.device == [HOST] else counting(args.device, timing)
    named, head = read(args, NamedNetwork), read(args, Head)
    whole = make_spec(named, head, pretrained=False)
    if whole.task != CLASSIFY.name:
        raise UserError(f"Only classifiers are compared here, not --task={named.task}.")
    spec = whole.backbone
    cli.import_tensorflow(args)
    rows = []
    for row in _workshop(asked, timing.threads, spec).make(asked.methods, asked.qat_steps):
        print(f"Made {row['path']}")
        rows.append(row)
    if on_arm:
        paths = [row["path"] for row in rows if not row["error"]]
        counted = count_results.count_files(paths, on_arm)
        count_results.write_results(counted, asked.out)
        arm.show(counted)
        if args.json:
            print(json.dumps(counted))
        return
    # The seed is one flag of both.
    again = command("benchmark int8", named, head, asked, replace(timing, seed=0))
    results = int8_results.time_files(rows, timing, again)
    int8_results.write(results, spec, Path(asked.out))
    int8_results.show(results, spec)
    if args.json:
        print(json.dumps(results))


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
    calibration: Array
    sources: "Sequence[Split]"
    evaluation: Batches
    output: Output
    threads: int
    seed: int

    def make(self, methods: Sequence[str], qat_steps: int | None = None) -> Iterator[MadeFile]:
        yield self.ours("float")
        if "stock" in methods:
            yield (stock := self.stock())
            if stock["error"] and self.trained:
                # The speed of a file that loads nowhere must be taken from another's.
                yield self.settled(self.spec).stock("stock_random")
        if "ptq" in methods:
            for lowering in ("fused", "composite", "equalized"):
                yield self.ours(lowering, quantize="int8", input_type="int8", hard_swish=lowering)
            yield self.ours("uint8", quantize="int8", hard_swish="composite", input_type="uint8")
        if "qat" in methods:
            from mnv3_tf.export.pictures import training_on

            folder = self.out / "checkpoints"
            training = training_on(self.sources, self.spec.resolution, qat_steps, folder)
            yield self.ours("qat", training, quantize="int8", input_type="int8")
        yield self.relu6()

    def ours(self, name: str, training: "Training | None" = None, **options: Any) -> MadeFile:
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

    def stock(self, name: str = "stock") -> MadeFile:
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

    def relu6(self) -> MadeFile:
        from mnv3_tf.models.random_networks import with_relu6_for_hard_swish

        bound = self.settled(with_relu6_for_hard_swish(self.spec))
        return bound.ours("relu6", quantize="int8", input_type="int8")

    def settled(self, spec: NetworkSpec) -> "Workshop":
        """For timing only: random weights, few pictures, nothing to evaluate on."""
        from mnv3_tf.models.random_networks import IMAGES, settled_classifier

        few = self.calibration[:IMAGES]
        model = settled_classifier(spec, few, self.seed)
        ends = (self.output, self.threads, self.seed)
        return Workshop(self.out, spec, model, False, few, (), (), *ends)

    def _row(
        self, path: Path, method: str | None, file: FileReport | ExportReport, parity: Parity
    ) -> MadeFile:
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
