"""Where a network's time goes, by type of operator: float beside int8.

LiteRT's own profiler cannot be reached from Python, so each operator of the network is timed
alone, its activation included, and summed by type. A sum of parts is not quite the whole, which
is timed as well and shown.

    python -m benchmark profile --models=large,small --out=profile
    python -m benchmark profile --task=segment --resolution=512x1024 --out=profile
    python -m benchmark profile --device=arm:cortex-a76 --out=profile
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from absl import flags

from mnv3_tf.errors import UserError
from mnv3_tf.files import read_object, write_json
from mnv3_tf.measuring import published
from mnv3_tf.measuring.arm.cores import DEVICE
from mnv3_tf.measuring.machine import Conditions
from mnv3_tf.networks.graph import IMAGE, Conv
from mnv3_tf.networks.named import NETWORKS
from mnv3_tf.tasks import Spec, specs
from mnv3_tf.tasks.specs import NamedNetwork
from mnv3_tf.tasks.task import Head
from mnv3_tf.ui import cli, settings, tables
from mnv3_tf.ui.settings import Checked, setting

if TYPE_CHECKING:
    from mnv3_tf.measuring.timers import Timer
    from mnv3_tf.networks.graph import Operator
    from mnv3_tf.tflite.skeleton import Precision

SCHEMA_VERSION = 1
HEADS = ("head", "extras", "box head", "class head", "resize")
"""Parts that some networks have; "resize" is all bilinear stretching."""
TYPES = ("1x1 convolution", "depthwise", "squeeze-excite", "stem", *HEADS, "add")


class ProfileRow(TypedDict):
    """Microseconds of a network's operators, each alone, by type; `whole_us` is of the network."""

    network: str
    quantize: str
    us: dict[str, float]
    whole_us: float


class ProfileResults(TypedDict):
    """profile.json."""

    schema_version: int
    conditions: Conditions
    rows: list[ProfileRow]


def read(path: Path) -> ProfileResults | None:
    """None where there is no such file; raises UserError for a damaged one."""
    return cast("ProfileResults | None", read_object(path, "measure it again"))


@dataclass(frozen=True)
class ProfileSettings(Checked):
    """Raises UserError for values out of range."""

    models: tuple[str, ...] = setting(("large", "small"), "Networks.")
    rounds: int = setting(20, "How often each operator gets a turn.", least=1)
    threads: int = setting(1, "Threads of the runtime.", least=1)
    device: str = setting("host", DEVICE)
    adb: str | None = setting(None, "The adb client.")
    benchmark_binary: str | None = setting(None, "benchmark_model, for phones.")
    out: str | None = setting(None, "Folder for profile.json and profile.png.")


def define_flags(values: flags.FlagValues) -> None:
    settings.define(values, ProfileSettings)
    settings.define(values, NamedNetwork, without=("model", "width", "num_classes"))
    settings.define(values, Head)
    cli.define_json_flag(values)


def main(args: flags.FlagValues) -> None:
    from benchmark.latency_table import PRECISIONS
    from mnv3_tf.measuring.timers import open_timer

    profiled = settings.read(args, ProfileSettings)
    if not profiled.out:
        raise UserError("Where to? Give --out=DIR.")
    asked = settings.read(args, NamedNetwork, model="", width=1.0, num_classes=None)
    chosen = {
        name: specs.resolve_spec(
            asked.task,
            name,
            resolution=asked.resolution,
            num_classes=published.CLASSES.get(asked.task) if name in NETWORKS else None,
            head=settings.read(args, Head),
        )
        for name in profiled.models
    }
    timer = open_timer(
        profiled.device,
        profiled.adb,
        profiled.benchmark_binary,
        profiled.threads,
        profiled.rounds,
    )
    rows = [
        profile(name, spec, quantize, timer)
        for name, spec in chosen.items()
        for quantize in PRECISIONS
    ]
    result: ProfileResults = {
        "schema_version": SCHEMA_VERSION,
        "conditions": timer.conditions,
        "rows": rows,
    }
    out = Path(profiled.out)
    write_json(out / "profile.json", result)
    plot(rows, out / "profile.png")
    conditions = timer.conditions
    where = ", ".join(conditions[key] for key in ("device", "counted") if key in conditions)
    title = f"Milliseconds by type of operator, {where}"
    tables.show(title, *table(rows))
    if args.json:
        print(json.dumps(result))


def profile(name: str, spec: Spec, quantize: "Precision", timer: "Timer") -> ProfileRow:
    from benchmark.latency_table import NETWORK_BURST_MS, OPERATOR_BURST_MS
    from mnv3_tf.networks.cost import operators
    from mnv3_tf.tflite import skeleton

    listed = operators(specs.for_phones(spec))
    shapes = {IMAGE: (*spec.image_size, 3)} | {op.name: op.output for op in listed}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.tflite" for number in range(len(listed) + 1)]
        for path, op in zip(paths, listed, strict=False):
            reads = [shapes[name] for name in op.reads]
            path.write_bytes(skeleton.single(op, quantize, reads=reads))
        paths[-1].write_bytes(skeleton.network(spec, quantize))
        times = timer.time(paths[:-1], OPERATOR_BURST_MS)
        (whole,) = timer.time(paths[-1:], NETWORK_BURST_MS)
    by_type = dict.fromkeys(types(listed), 0.0)
    for op, us in zip(listed, times, strict=True):
        by_type[type_of(op)] += us
    return {"network": name, "quantize": quantize, "us": by_type, "whole_us": whole}


def types(operators: Sequence["Operator"]) -> list[str]:
    """Those of TYPES that networks like this one have."""
    present = {type_of(op) for op in operators}
    return [name for name in TYPES if name in present or name not in HEADS]


def type_of(op: "Operator") -> str:
    """One of TYPES."""
    if op.kind == "resize":
        return op.kind
    if op.stage in ("stem", "head", "extras", "box_head", "class_head"):
        return op.stage.replace("_", " ")
    if op.kind in ("mean", "multiply") or op.role in ("squeeze", "excite"):
        return "squeeze-excite"
    if isinstance(op, Conv) and op.kernel > 1:
        return "stem"  # as wide kernels are in MobileNetV4's first blocks alone, its stem too
    return {"conv": "1x1 convolution"}.get(op.kind, op.kind)


def plot(rows: Sequence[ProfileRow], path: Path) -> None:
    """A bar for each row, in pieces by type."""
    from mnv3_tf.measuring.plots import LEGEND, plot_parts

    bars = [
        (
            f"{row['network']}, {LEGEND.get(row['quantize'], row['quantize'])}",
            {name: us / 1e3 for name, us in row["us"].items()},
        )
        for row in rows
    ]
    plot_parts(bars, "operators timed alone", path)


def table(rows: Sequence[ProfileRow]) -> tuple[list[str], list[list[str]]]:
    """Columns and lines: milliseconds of each type, network by network."""
    kinds = {"none": "float", "int8": "int8"}
    columns = ["operators", *(f"{row['network']} {kinds[row['quantize']]}" for row in rows)]
    by_name = [
        row["us"] | {"sum": sum(row["us"].values()), "whole": row["whole_us"]} for row in rows
    ]
    lines = [[name, *(f"{us[name] / 1e3:.2f}" for us in by_name)] for name in by_name[0]]
    return columns, lines
