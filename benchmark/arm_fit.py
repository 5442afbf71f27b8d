"""`python -m benchmark arm --fit`: the constants of every core, from what others have published."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnv3_tf.errors import Failure
from mnv3_tf.measuring.arm import anchors, constants, fit, fitted, installation
from mnv3_tf.measuring.arm.constants import Errors, Fitted
from mnv3_tf.measuring.arm.counting import Counter
from mnv3_tf.measuring.arm.fit import LeftOut
from mnv3_tf.ui import figures, tables

PLOT = "fit.png"
TITLES = {
    ("none", anchors.XNNPACK): "float XNNPACK",
    ("int8", anchors.XNNPACK): "int8 XNNPACK",
    ("none", anchors.BUILTIN): "float built-in",
    ("int8", anchors.BUILTIN): "int8 built-in",
}
"""Of tables and plots, by precision and whose kernels."""


def fit_constants(out: str | None) -> Fitted:
    """Counts what is not counted yet, fits, writes constants.json of the package, and shows it.

    The folder `out` receives fit.png. Raises UserError where the machine is not set up.
    """
    counts = anchors.counted()
    wanted = {anchors.key(one) for one in anchors.published()}
    if not wanted <= set(counts):
        _count()
    points = anchors.points(anchors.counted())
    if not points:
        raise Failure("No published network could be counted.")
    found = fitted.make(points, installation.runtime())
    constants.write(found)
    show(found)
    if out:
        without_family = fit.left_out(points, fit.PARTS["family"], fit.by_instructions)
        plot(list(without_family), Path(out) / PLOT)
        print(f"Written: {Path(out) / PLOT}.")
    return found


def _count() -> None:
    emulator = installation.open_emulator()
    builtin = Counter(emulator, delegate=False)
    with tempfile.TemporaryDirectory() as folder:
        for done, total in anchors.count(Counter(emulator), builtin, Path(folder)):
            print(f"Counted {done} of {total}.", flush=True)


def show(found: Fitted) -> None:
    """Prints the constants, and the errors of what was left out beside the median of MACs alone."""
    tables.show(
        "Constants: cycles an instruction, bytes of weights a second",
        ("core", "what", "cycles", "GB/s", "points", "grade", "interval"),
        [
            (
                row["core"],
                TITLES[row["quantize"], row["runtime"]],
                f"{row['cycles']:.3f}",
                f"{1 / row['ns_per_byte']:.2f}",
                row["points"],
                row["grade"],
                f"x {row['factor']:.2f}",
            )
            for row in found["constants"]
            if row["runtime"] == anchors.XNNPACK or row["points"]
        ],
    )
    together = [row for row in found["errors"] if row["core"] is None]
    tables.show(
        "Errors of points left out",
        ("left out", "what", "points", "median", "p90", "worst", "held", "by MACs"),
        [
            (
                row["left_out"],
                TITLES[row["quantize"], row["runtime"]],
                row["points"],
                *(tables.percent(row[name]) for name in ("median", "p90", "worst")),
                "-" if row["held"] is None else tables.percent(row["held"]),
                tables.percent(_by_macs(together, row)["median"]),
            )
            for row in together
            if row["by"] == "instructions"
        ],
    )


def _by_macs(rows: Sequence[Errors], row: Errors) -> Errors:
    wanted = (row["left_out"], row["quantize"], row["runtime"])
    return next(
        other
        for other in rows
        if other["by"] == "macs"
        and (other["left_out"], other["quantize"], other["runtime"]) == wanted
    )


def plot(predicted: Sequence[LeftOut], path: Path) -> None:
    """Each published latency beside what the others let expect, without its family."""
    figure = figures.new(9, 8.4)
    for axes, (what, title) in zip(figure.subplots(2, 2).flat, TITLES.items(), strict=True):
        by_core: dict[str, list[tuple[float, float]]] = {}
        for one in predicted:
            core, *of = fit.group_of(one.point)
            if tuple(of) == what:
                by_core.setdefault(core, []).append((one.point.published.ms, one.ms))
        for core, pairs in sorted(by_core.items()):
            axes.scatter(*zip(*pairs, strict=True), s=16, alpha=0.8, label=core)
        axes.set_xscale("log")
        axes.set_yscale("log")
        if by_core:
            ends = [ms for pairs in by_core.values() for pair in pairs for ms in pair]
            line = [min(ends) * 0.9, max(ends) * 1.1]
            axes.plot(line, line, color="#888888", linewidth=0.8)
            axes.legend(fontsize=7)
        axes.set_title(title)
        axes.set_xlabel("published, ms")
        axes.set_ylabel("predicted without its family, ms")
    figures.save(figure, path)
