"""What is inside a .tflite, ours or not: types, operators, float islands, XNNPACK's share.

python -m mnv3_tf.inspect m.tflite --json
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from mnv3_tf import cli, tables
from mnv3_tf.errors import UserError

USAGE = "python -m mnv3_tf.inspect m.tflite"


def define_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("model_file", None, "The .tflite; needs no flag.", flag_values=values)
    flags.DEFINE_bool("ops", False, "List every operator in its order.", flag_values=values)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    if not args.model_file:
        raise UserError(f"Which file? Give one: {USAGE}")
    from mnv3_tf.export.inspection import inspect

    report = inspect(args.model_file)
    tables.show(args.model_file, ("", ""), summary_rows(report))
    tables.show("Operators", ("operator", "count", "outside XNNPACK"), operator_rows(report))
    if args.ops:
        tables.show("In order", ("#", "operator", "output", "name"), listing_rows(report))
    if args.json:
        print(json.dumps(report))


def summary_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
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


def operator_rows(report: dict[str, Any]) -> list[tuple[str, int, object]]:
    outside = report["xnnpack"]["outside"]
    return [
        (op, count, "?" if outside is None else outside.get(op, ""))
        for op, count in report["ops"].items()
    ]


def listing_rows(report: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            operator["index"],
            " + ".join(filter(None, (operator["op"], operator["activation"]))),
            f"{operator['dtype']} {_shape(operator['shape'])}",
            operator["name"],
        )
        for operator in report["operators"]
    ]


def _share(share: dict[str, Any]) -> str:
    if share["error"]:
        return f"refuses it: {share['error']}"
    s = "" if share["partitions"] == 1 else "s"
    return f"{share['delegated']} of {share['nodes']} operators, {share['partitions']} partition{s}"


def _tensor(tensor: dict[str, Any] | None) -> str:
    if tensor is None:
        return "none"
    text = f"{tensor['dtype']} {_shape(tensor['shape'])}"
    if tensor["scale"] is None:
        return text
    return f"{text}, scale {tensor['scale']:.6g}, zero point {tensor['zero_point']}"


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def with_file_flag(argv: Sequence[str]) -> list[str]:
    """The command line with its one bare argument, the file, as --model_file."""
    bare = [i for i, argument in enumerate(argv) if i and not argument.startswith("-")]
    if len(bare) != 1:
        return list(argv)
    return [f"--model_file={a}" if i == bare[0] else a for i, a in enumerate(argv)]


if __name__ == "__main__":
    cli.run(main, define_flags, with_file_flag(sys.argv))
