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
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mnv3_tf.data.sources import usage
from mnv3_tf.errors import UserError
from mnv3_tf.ui import cli, tables

if TYPE_CHECKING:
    import numpy as np

    from mnv3_tf.tflite.reports import Comparison, FileReport, LayerRow, Share, Tensor

USAGE = "python -m mnv3_tf.inspect m.tflite"
WORST = 15
NAMED = 6  # in the plot, of the worst and of the largest drops


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model_file", None, "The .tflite; needs no flag.", flag_values=values)
    flags.DEFINE_bool("ops", False, "List every operator in its order.", flag_values=values)

    def text(name: str, meaning: str) -> None:
        flags.DEFINE_string(name, None, meaning, flag_values=values)

    text("compare", "A reference .tflite, best float: find the layers that differ from it.")
    text("dataset", f"Pictures to compare on: {usage('classes')}.")
    text("data_dir", "Where tensorflow_datasets keeps its sets.")
    flags.DEFINE_integer("images", 32, "How many pictures.", 1, flag_values=values)
    flags.DEFINE_bool("all", False, f"All layers, not the {WORST} worst.", flag_values=values)
    flags.DEFINE_bool(
        "per_channel",
        True,
        "Let channels of a tensor have gains of their own, as after equalisation.",
        flag_values=values,
    )
    text("out", "The .png to draw the comparison in.")
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    _check(args)
    from mnv3_tf.tflite.inspection import inspect

    report = inspect(args.model_file)
    compared = _compare(args) if args.compare else None
    tables.show(args.model_file, ("", ""), summary_rows(report))
    tables.show("Operators", ("operator", "count", "outside XNNPACK"), operator_rows(report))
    if args.ops:
        tables.show("In order", ("#", "operator", "output", "name"), listing_rows(report))
    if compared:
        _show_comparison(args, compared)
        report["compare"] = compared
    if args.json:
        print(json.dumps(report))


def _check(args: flags.FlagValues) -> None:
    if not args.model_file:
        raise UserError(f"Which file? Give one: {USAGE}")
    for name in ("dataset", "out", "all"):
        if args[name].value and not args.compare:
            raise UserError(f"--{name} belongs to a comparison; give --compare=float.tflite too.")
    if args.out and not args.out.endswith(".png"):
        raise UserError(f"--out={args.out} must end in .png.")


# -- comparing -------------------------------------------------------------------------------


def _compare(args: flags.FlagValues) -> "Comparison":
    from mnv3_tf.tflite.compare import compare, open_pair

    expected, found = open_pair(args.compare, args.model_file)
    images = _pictures(args, expected.input.shape[1])
    compared = compare(expected, found, images, args.per_channel)
    compared["reference"], compared["dataset"] = args.compare, args.dataset
    return compared


def _pictures(args: flags.FlagValues, side: int) -> "np.ndarray":
    if not args.dataset:
        return noise(args.images, side)
    cli.import_tensorflow(args)
    from mnv3_tf.data.sources import open_dataset

    dataset = open_dataset(args.dataset, data_dir=args.data_dir, resolution=side)
    split = dataset.val or dataset.train
    if split is None:
        raise UserError(f"{dataset.name} holds no pictures.")
    return split.images(args.images, side)


def noise(count: int, side: int) -> "np.ndarray":
    """(count, side, side, 3) in [-1, 1]: noise on gradients, always the same."""
    import numpy as np

    rng = np.random.default_rng(0)
    corners = rng.uniform(-1, 1, (count, 2, 2, 3))
    ramp = np.linspace(0, 1, side)
    weights = np.stack([1 - ramp, ramp], -1)
    ground = np.einsum("yi,xj,nijc->nyxc", weights, weights, corners)
    return np.clip(ground + rng.normal(0, 0.2, ground.shape), -1, 1).astype(np.float32)


def _show_comparison(args: flags.FlagValues, compared: "Comparison") -> None:
    from mnv3_tf.tflite.compare import largest_drops, worst_layers

    if not args.dataset:
        print(
            f"Compared on {args.images} pictures of noise; real ones (--dataset=folder:photos) "
            "tell more."
        )
    rows = compared["layers"]
    shown = rows if args.all else worst_layers(rows, WORST)
    title = "All layers" if args.all else f"The {len(shown)} worst of {len(rows)} layers"
    columns = ("layer", "#", "dB", "drop", "gain")
    tables.show(title, columns, comparison_rows(shown))
    tables.show("Where most is lost", columns, comparison_rows(largest_drops(rows, NAMED)))
    tables.show(f"Against {args.compare}", ("", ""), agreement_rows(compared))
    if args.out:
        from mnv3_tf.tflite.plots import plot_layers

        names = f"{Path(args.model_file).name} against {Path(args.compare).name}"
        pictures = args.dataset or "noise"
        plot_layers(
            rows,
            worst_layers(rows, NAMED),
            largest_drops(rows, NAMED),
            f"{names}, {compared['images']} pictures ({pictures})",
            args.out,
        )
        print(f"Drawn in {args.out}.")


def comparison_rows(rows: "Sequence[LayerRow]") -> list[tuple[object, ...]]:
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


def agreement_rows(compared: "Comparison") -> list[tuple[str, str]]:
    rows = [("pictures", f"{compared['images']} ({compared['dataset'] or 'noise'})")]
    if compared["agreement"] is None:
        rows.append(("answers", "not comparable: another number of classes"))
    else:
        rows.append(("same top-1", f"{compared['agreement']:.4f}"))
        rows.append(("divergence", f"{compared['divergence']:.4f} nats"))
    if missing := compared["unmatched"]:
        more = ", ..." if len(missing) > 3 else ""
        rows.append(("not in the reference", f"{len(missing)}: {', '.join(missing[:3])}{more}"))
    return rows


# -- one file --------------------------------------------------------------------------------


def summary_rows(report: "FileReport") -> list[tuple[str, str]]:
    share, labels = report["xnnpack"], report["labels"]
    rows = [
        ("size", f"{report['bytes'] / 1e6:.2f} MB"),
        ("quantised", report["quantize"]),
        ("h-swish", report["hard_swish"]),
        ("input", _tensor(report["input"])),
        ("output", _tensor(report["output"])),
        ("float islands", str(report["float_islands"])),
        ("XNNPACK", _share(share)),
        ("labels", f"{len(labels)} ({', '.join(labels[:3])}, ...)" if labels else "none"),
        ("sha256", f"{report['sha256'][:16]}..."),
    ]
    return rows


def operator_rows(report: "FileReport") -> list[tuple[str, int, object]]:
    outside = report["xnnpack"]["outside"]
    return [
        (op, count, "?" if outside is None else outside.get(op, ""))
        for op, count in report["ops"].items()
    ]


def listing_rows(report: "FileReport") -> list[tuple[object, ...]]:
    return [
        (
            operator["index"],
            " + ".join(filter(None, (operator["op"], operator["activation"]))),
            f"{operator['dtype']} {_shape(operator['shape'])}",
            operator["name"],
        )
        for operator in report["operators"]
    ]


def _share(share: "Share") -> str:
    if share["error"]:
        return f"refuses it: {share['error']}"
    s = "" if share["partitions"] == 1 else "s"
    return f"{share['delegated']} of {share['nodes']} operators, {share['partitions']} partition{s}"


def _tensor(tensor: "Tensor | None") -> str:
    if tensor is None:
        return "none"
    text = f"{tensor['dtype']} {_shape(tensor['shape'])}"
    if tensor["scale"] is None:
        return text
    return f"{text}, scale {tensor['scale']:.6g}, zero point {tensor['zero_point']}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


if __name__ == "__main__":
    cli.run(main, define_flags, bare="model_file")
