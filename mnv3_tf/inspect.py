"""What is inside a .tflite, ours or not: types, operators, float islands, XNNPACK's share.

    python -m mnv3_tf.inspect m.tflite --json
    python -m mnv3_tf.inspect int8.tflite --compare=float.tflite --dataset=folder:photos \
        --out=layers.png

With --compare both files run on the same pictures, and each layer's signal-to-noise ratio against
the reference tells which layers break the network. A layer's drop is its loss against the worst
of the layers that it reads: large drops are where damage is done, low ratios where it has piled
up. Ranges that know the network clip what its answer does not depend on, such as negative logits:
there a low ratio is no damage. Real photographs tell more than the noise that is taken without
--dataset.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.tflite.reading import Reading
from mnv3_tf.tflite.reports import Comparison, End, Entry, FileReport, LayerRow, Share
from mnv3_tf.ui import cli, settings, tables
from mnv3_tf.ui.settings import Checked, setting

if TYPE_CHECKING:
    import numpy as np

USAGE = "python -m mnv3_tf.inspect m.tflite"
DOCUMENTED = {"gpu": "GPU delegate's list", "edgetpu": "Edge TPU's list"}
"""Titles of `FileReport`'s delegates."""

WORST = 15
NAMED = 6  # in the plot, of the worst and of the largest drops


@dataclass(frozen=True)
class InspectSettings(Checked):
    model_file: str = setting(MISSING, "The .tflite; needs no flag.")
    ops: bool = setting(False, "List every operator in its order.")
    compare: str | None = setting(
        None, "A reference .tflite, best float: lists the layers that differ from it."
    )
    dataset: str | None = setting(None, f"Pictures to compare on: {usage('classes')}.")
    data_dir: str | None = setting(None, "Where tensorflow_datasets keeps its sets.")
    images: int = setting(32, "How many pictures.", least=1)
    all: bool = setting(False, f"All layers, not the {WORST} worst.")
    per_channel: bool = setting(
        True, "Let channels of a tensor have gains of their own, as after equalisation."
    )
    out: str | None = setting(
        None, "The .png to draw the comparison in, or a .json for Model Explorer's nodes."
    )

    def __post_init__(self) -> None:
        if not self.model_file:
            raise UserError(f"Which file? Give one: {USAGE}")
        for name in ("dataset", "out", "all"):
            if getattr(self, name) and not self.compare:
                raise UserError(
                    f"--{name} belongs to a comparison; give --compare=float.tflite too."
                )
        if self.out and not self.out.endswith((".png", ".json")):
            raise UserError(f"--out={self.out} must end in .png or .json.")
        super().__post_init__()


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, InspectSettings)
    settings.define(values, Reading)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    asked, reading = settings.read(args, InspectSettings), settings.read(args, Reading)
    from mnv3_tf.tflite.inspection import inspect

    report = inspect(asked.model_file, reading)
    if asked.compare:
        if asked.dataset:
            cli.import_tensorflow(args)
        report["compare"] = compare_files(asked, reading)
    tables.show(asked.model_file, ("", ""), summary_rows(report))
    tables.show("Inputs and outputs", ("", "name", "stored as", "meaning"), end_rows(report))
    columns = ("operator", "count", "outside XNNPACK", "GPU", "Edge TPU", "version")
    tables.show("Operators", columns, operator_rows(report))
    for hint in report["hints"]:
        print(f"{hint}.")
    if asked.ops:
        tables.show("In order", ("#", "operator", "output", "name"), listing_rows(report))
    if asked.compare:
        _show_comparison(asked, report["compare"])
    if args.json:
        print(json.dumps(report))


# -- comparing -------------------------------------------------------------------------------


def compare_files(asked: InspectSettings, reading: Reading) -> Comparison:
    """`model_file` against `compare`, on pictures of `dataset` or on noise.

    Raises UserError for files that do not load, or have no layer in common.
    """
    from mnv3_tf.tflite.compare import compare, noise, open_pair

    reference, file = open_pair(str(asked.compare), asked.model_file, reading)
    side = reference.picture.image_size[0]
    images = _pictures(asked, reading, side) if asked.dataset else noise(asked.images, side)
    compared = compare(reference, file, images, asked.per_channel)
    compared["reference"], compared["dataset"] = str(asked.compare), asked.dataset
    compared["notes"] = [note for one in (reference, file) for note in one.picture.note(one.path)]
    return compared


def _pictures(asked: InspectSettings, reading: Reading, side: int) -> "np.ndarray":
    from mnv3_tf.data.sources import open_dataset

    dataset = open_dataset(
        str(asked.dataset), data_dir=asked.data_dir, resolution=side, training=False
    )
    _, split = dataset.seen_as(reading.view).part()
    return split.images(asked.images, side)


def _show_comparison(asked: InspectSettings, compared: Comparison) -> None:
    from mnv3_tf.tflite.compare import largest_drops, node_data, plot_layers, worst_layers

    if not asked.dataset:
        print(
            f"Compared on {asked.images} pictures of noise; real ones (--dataset=folder:photos) "
            "tell more."
        )
    rows = compared["layers"]
    shown = rows if asked.all else worst_layers(rows, WORST)
    title = "All layers" if asked.all else f"The {len(shown)} worst of {len(rows)} layers"
    columns = ("layer", "#", "dB", "drop", "gain")
    tables.show(title, columns, comparison_rows(shown))
    tables.show("Where most is lost", columns, comparison_rows(largest_drops(rows, NAMED)))
    tables.show(f"Against {asked.compare}", ("", ""), agreement_rows(compared))
    for note in compared["notes"]:
        print(f"{note}.")
    if asked.out and asked.out.endswith(".json"):
        write_json(asked.out, node_data(rows))
        print(f"Written to {asked.out}; open it in Model Explorer as the file's node data.")
    elif asked.out:
        names = f"{Path(asked.model_file).name} against {Path(str(asked.compare)).name}"
        pictures = f"{compared['images']} pictures ({asked.dataset or 'noise'})"
        worst, drops = worst_layers(rows, NAMED), largest_drops(rows, NAMED)
        plot_layers(rows, worst, drops, f"{names}, {pictures}", asked.out)
        print(f"Drawn in {asked.out}.")


def comparison_rows(rows: Sequence[LayerRow]) -> list[tuple[object, ...]]:
    return [
        (
            row["name"],
            row["index"],
            f"{row['sqnr_db']:.1f}",
            "" if row["drop_db"] is None else f"{row['drop_db']:.1f}",
            "" if row["gain"] is None else f"{row['gain']:.3g}",
        )
        for row in rows
    ]


def agreement_rows(compared: Comparison) -> list[tuple[str, str]]:
    rows = [("pictures", f"{compared['images']} ({compared['dataset'] or 'noise'})")]
    if compared["agreement"] is None:
        rows.append(("answers", "not comparable: other classes, or none"))
    else:
        rows.append(("same top-1", f"{compared['agreement']:.4f}"))
        rows.append(("divergence", f"{compared['divergence']:.4f} nats"))
    if missing := compared["unmatched"]:
        more = ", ..." if len(missing) > 3 else ""
        rows.append(("not in the reference", f"{len(missing)}: {', '.join(missing[:3])}{more}"))
    return rows


# -- one file --------------------------------------------------------------------------------


def summary_rows(report: FileReport) -> list[tuple[str, str]]:
    share, labels = report["xnnpack"], report["labels"]
    rows = [
        ("size", f"{report['bytes'] / 1e6:.2f} MB"),
        ("quantised", report["quantize"]),
        ("h-swish", report["hard_swish"]),
        ("float islands", str(report["float_islands"])),
        ("XNNPACK", _share(share) if report["cause"] is None else "-"),
        *((title, _listed(report, name)) for name, title in DOCUMENTED.items()),
        *report["about"].items(),
        *(("signature", _signature(entry)) for entry in report["signatures"]),
        ("subgraphs", str(report["subgraphs"])),
        ("metadata", ", ".join(report["metadata"]) or "none"),
        ("labels", f"{len(labels)} ({', '.join(labels[:3])}, ...)" if labels else "none"),
        ("sha256", f"{report['sha256'][:16]}..."),
    ]
    if report["cause"]:
        rows.insert(0, ("does not run", f"it {report['cause']}"))
    return rows


def end_rows(report: FileReport) -> list[tuple[str, str, str, str]]:
    """Inputs and outputs."""
    return [
        (side, end["name"], _tensor(end), end["meaning"])
        for side, ends in (("input", report["inputs"]), ("output", report["outputs"]))
        for end in ends
    ]


def operator_rows(report: FileReport) -> list[tuple[object, ...]]:
    """With how many of each are outside XNNPACK and outside what delegates are documented for."""
    versions: dict[str, set[int]] = {}
    for operator in report["operators"]:
        versions.setdefault(operator["op"], set()).add(operator["version"])
    outside = report["xnnpack"]["outside"]
    lists = [report["delegates"][name]["outside"] for name in DOCUMENTED]
    return [
        (
            op,
            count,
            "?" if outside is None else outside.get(op, ""),
            *(left.get(op, "") for left in lists),
            ", ".join(map(str, sorted(versions[op]))),
        )
        for op, count in report["ops"].items()
    ]


def listing_rows(report: FileReport) -> list[tuple[object, ...]]:
    return [
        (
            operator["index"],
            " + ".join(filter(None, (operator["op"], operator["activation"]))),
            f"{operator['dtype']} {_shape(operator['shape'])}",
            operator["name"],
        )
        for operator in report["operators"]
    ]


def _signature(entry: Entry) -> str:
    return f"{entry['name']}: {', '.join(entry['inputs'])} -> {', '.join(entry['outputs'])}"


def _listed(report: FileReport, name: str) -> str:
    return f"{report['delegates'][name]['takes']} of {len(report['operators'])} operators"


def _share(share: Share) -> str:
    if share["error"]:
        return f"refuses it: {share['error']}"
    s = "" if share["partitions"] == 1 else "s"
    return f"{share['delegated']} of {share['nodes']} operators, {share['partitions']} partition{s}"


def _tensor(tensor: End) -> str:
    text = f"{tensor['dtype']} {_shape(tensor['signature']).replace('-1', 'any')}"
    if tensor["scale"] is None:
        return text
    return f"{text}, scale {tensor['scale']:.6g}, zero point {tensor['zero_point']}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


if __name__ == "__main__":
    cli.run(main, define_flags, bare="model_file")
