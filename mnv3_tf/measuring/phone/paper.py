"""The paper's tables with a phone's column: making the networks, and rows beside the paper's."""

from pathlib import Path
from typing import Any

from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.phone import report
from mnv3_tf.measuring.phone.members import Member
from mnv3_tf.tasks import CLASSIFY, DETECT, SEGMENT
from mnv3_tf.tflite import skeleton

TITLES = {
    (CLASSIFY.name, "none"): "Table 3: float",
    (CLASSIFY.name, "int8"): "Table 4: int8",
    (DETECT.name, "none"): "Table 6: SSDLite, float",
    (DETECT.name, "int8"): "Table 6: SSDLite, int8",
    (SEGMENT.name, "none"): "Tables 7 and 8: LR-ASPP, float",
    (SEGMENT.name, "int8"): "Tables 7 and 8: LR-ASPP, int8",
}
PIXELS = {CLASSIFY.name: (1, 2, 3), DETECT.name: (1,), SEGMENT.name: (3,)}
"""The phones of which the paper's tables tell; what is measured here is compared with the first."""
EXPLANATION = (
    "ms here: median over rounds on this phone. P-1, P-2, P-3: the paper's Pixel 1, 2 and 3, where "
    "it has them; minimalistic ones are the authors' figures in TF-slim. The paper's TFLite is of "
    "2019: its int8 ran by other kernels than XNNPACK's. Detection and segmentation are with half "
    "the channels from C4 to C5."
)


def made(member: Member, folder: Path) -> Path:
    path = folder / f"{member.label}_{'float' if member.quantize == 'none' else 'int8'}.tflite"
    with atomic_write(path) as temporary:
        temporary.write_bytes(skeleton.network(member.spec, member.quantize))
    return path


def beside_paper(found: dict[str, Any], files: dict[Path, Member]) -> list[dict[str, Any]]:
    """A row for each phone and file: the measured summary beside the published figures.

    "pixel_ms" are of Pixel 1, 2 and 3, None where the paper does not tell.
    """
    return [
        {
            "serial": timed["serial"],
            "task": member.task,
            "network": member.network,
            "width": member.width,
            "resolution": "{}x{}".format(*member.spec.image_size),
            "quantize": member.quantize,
            "threads": timed["threads"],
            "median_us": timed["median_us"],
            "ci_us": timed["ci_us"],
            "bytes": timed["bytes"],
            "pixel_ms": list(told.pixel_ms) if told else None,
            "published_accuracy": dict(told.accuracy) if told else None,
            "published_in": told.source if told else None,
        }
        for timed in found["summary"]
        for member in [files[Path(timed["path"])]]
        for told in [member.published]
    ]


def columns(task: str) -> tuple[str, ...]:
    pixels = [f"P-{number}" for number in PIXELS[task]]
    return ("network", "ms here", "± %", *pixels, f"here by {pixels[0]}", "MB")


def line(row: dict[str, Any]) -> tuple[object, ...]:
    """Under the columns of the row's task."""
    pixels = [(row["pixel_ms"] or [None] * 3)[number - 1] for number in PIXELS[row["task"]]]
    told = ["-" if ms is None else f"{ms:g}" for ms in pixels]
    name, size = f"{row['network']} {row['width']:g}", f"{row['bytes'] / 1e6:.2f}"
    if row["median_us"] is None:
        return (name, "failed", "-", *told, "-", size)
    ms = row["median_us"] / 1e3
    ratio = f"{ms / pixels[0]:.2f}" if pixels[0] else "-"
    return (name, f"{ms:.2f}", report.half_width(row), *told, ratio, size)
