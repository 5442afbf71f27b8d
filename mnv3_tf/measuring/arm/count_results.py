"""Files compared by what an inference executes on ARM cores: the results of `benchmark arm`."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypedDict

from mnv3_tf.errors import UserError
from mnv3_tf.files import write_json
from mnv3_tf.measuring import latency, machine
from mnv3_tf.measuring.arm import cores, installation
from mnv3_tf.measuring.arm.cores import Device
from mnv3_tf.measuring.arm.counting import Count, Counter
from mnv3_tf.measuring.arm.estimate import Grade, estimate
from mnv3_tf.measuring.machine import Made
from mnv3_tf.measuring.plots import plot_counts
from mnv3_tf.tflite import loading
from mnv3_tf.tflite.reading import shape_setting
from mnv3_tf.ui.settings import Checked, command, setting

SCHEMA_VERSION = 1
DEVICES = f"arm: and a core, phone or board, or several of these: {', '.join(cores.DEVICES)}."


@dataclass(frozen=True)
class CountSettings(Checked):
    """How files are counted. Raises UserError for values out of range."""

    device: tuple[str, ...] = setting(("arm:cortex-a76",), DEVICES)
    delegate: Literal["xnnpack", "none"] = setting(
        "xnnpack", "Who runs the operators; none is TFLite's built-in kernels."
    )
    input_shape: tuple[int, ...] | None = shape_setting()
    processes: int | None = setting(
        None, "How many count side by side; None is one a core of this computer.", least=1
    )
    parts: bool = setting(False, "Also count each operator alone, and show shares by type.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parts and self.input_shape:
            raise UserError("--parts needs files whose shapes are their own; leave --input_shape.")


class CountRow(TypedDict):
    """A file on a device.

    `ratio` is of instructions, to the first file's on the same core. `macs` is None of a file whose
    input was given another shape. `ms`, its bounds and `extrapolated` are None without an estimate,
    whose `grade` is then "none". `operators` are instructions by type of operator, each counted
    alone, where they were asked for.
    """

    name: str
    path: str
    bytes: int
    quantize: str
    device: str
    core: str
    ghz: float
    instructions: int
    ratio: float
    macs: int | None
    weight_bytes: int
    ms: float | None
    ms_low: float | None
    ms_high: float | None
    grade: Grade
    extrapolated: str | None
    operators: dict[str, int] | None


class CountResults(Made):
    """The results.json of `benchmark arm`; `devices` says what each is taken to be."""

    schema_version: int
    runtime: str
    settings: dict[str, object]
    devices: dict[str, str]
    models: list[CountRow]


def count_files(paths: Sequence[str], settings: CountSettings) -> CountResults:
    """Counts every file on every device.

    Raises UserError for an unknown device, for a file that this host's runtime does not run, and
    where the machine is not set up.
    """
    if not paths:
        raise UserError("No model to count; give --models=a.tflite,b.tflite.")
    devices, delegate = cores.find_all(settings.device), settings.delegate == "xnnpack"
    emulator = installation.open_emulator()
    for path in paths:
        loading.check_loads(path, delegate, settings.input_shape)
    load_before = os.getloadavg()
    counter = Counter(emulator, delegate, settings.input_shape, settings.processes)
    files = [Path(path) for path in paths]
    counted: dict[str, list[Count]] = {}
    by_operator: dict[str, list[dict[str, int] | None]] = {}
    for core in {device.core.name: device.core for device in devices}.values():
        counted[core.name] = counter.count(files, core)
        by_operator[core.name] = [
            counter.by_operator(file, core) if settings.parts else None for file in files
        ]
    again = command("benchmark arm", settings, more=[f"--models={','.join(paths)}"])
    return {
        "schema_version": SCHEMA_VERSION,
        **machine.made_by(again, load_before),
        "runtime": installation.runtime(),
        "settings": asdict(settings),
        "devices": {device.flag: f"{device.title}: {device.assumed}" for device in devices},
        "models": [
            {
                **_row(name, file, device, count, counted[device.core.name][0], delegate),
                "operators": operators,
            }
            for device in devices
            for name, file, count, operators in zip(
                latency.unique_names(paths),
                files,
                counted[device.core.name],
                by_operator[device.core.name],
                strict=True,
            )
        ],
    }


def write_results(results: CountResults, out: str | Path) -> None:
    """results.json and instructions.png in the folder `out`."""
    out = Path(out)
    write_json(out / "results.json", results)
    several = len({row["device"] for row in results["models"]}) > 1
    bars = [
        (
            row["name"] + (f", {row['device']}" if several else ""),
            row["quantize"],
            row["instructions"] / 1e6,
            f"{row['ratio']:.3f}x" + ("" if row["ms"] is None else f"  {row['ms']:.1f} ms"),
        )
        for row in results["models"]
    ]
    plot_counts(bars, results["runtime"], out / "instructions.png")


def _row(
    name: str, file: Path, device: Device, count: Count, first: Count, delegate: bool
) -> CountRow:
    found = estimate(count, device, delegate)
    return {
        "name": name,
        "path": str(file),
        "bytes": file.stat().st_size,
        "quantize": count.quantize,
        "device": device.flag,
        "core": device.core.name,
        "ghz": device.ghz,
        "instructions": count.instructions,
        "ratio": count.instructions / first.instructions,
        "macs": count.macs,
        "weight_bytes": count.weight_bytes,
        "ms": found.ms if found else None,
        "ms_low": found.low if found else None,
        "ms_high": found.high if found else None,
        "grade": found.grade if found else "none",
        "extrapolated": found.extrapolated if found else None,
        "operators": None,
    }
