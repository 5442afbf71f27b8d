"""The paper's tables with a phone's column: making the networks, and rows beside the paper's."""

from pathlib import Path
from typing import TypedDict

from mnv3_tf.files import atomic_write
from mnv3_tf.measuring.phone import report
from mnv3_tf.measuring.phone.members import Member
from mnv3_tf.measuring.phone.results import PhoneResults
from mnv3_tf.measuring.published import PIXELS
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
EXPLANATION = (
    "ms here: median over rounds on this phone. P-1, P-2, P-3: the paper's Pixel 1, 2 and 3, where "
    "it has them; minimalistic ones are the authors' figures in TF-slim. The paper's TFLite is of "
    "2019: its int8 ran by other kernels than XNNPACK's. Detection and segmentation are with half "
    "the channels from C4 to C5."
)


class PhonePaperRow(TypedDict):
    """A row of paper.json; `pixel_ms` are of Pixel 1, 2 and 3, None where the paper has none."""

    serial: str
    task: str
    network: str
    width: float
    resolution: str
    quantize: str
    threads: int
    median_us: float | None
    ci_us: list[float] | None
    bytes: int
    pixel_ms: list[float | None] | None
    published_accuracy: dict[str, float | None] | None
    published_in: str | None


def made(member: Member, folder: Path) -> Path:
    path = folder / f"{member.label}_{'float' if member.quantize == 'none' else 'int8'}.tflite"
    with atomic_write(path) as temporary:
        temporary.write_bytes(skeleton.network(member.spec, member.quantize))
    return path


def beside_paper(found: PhoneResults, files: dict[Path, Member]) -> list[PhonePaperRow]:
    """A row for each phone and file: the measured summary beside the published figures."""
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
            "pixel_ms": list(figures.pixel_ms) if figures else None,
            "published_accuracy": dict(figures.accuracy) if figures else None,
            "published_in": figures.source if figures else None,
        }
        for timed in found["summary"]
        for member in [files[Path(timed["path"])]]
        for figures in [member.published]
    ]


def columns(task: str) -> tuple[str, ...]:
    pixels = [f"P-{number}" for number in PIXELS[task]]
    return ("network", "ms here", "± %", *pixels, f"here by {pixels[0]}", "MB")


def line(row: PhonePaperRow) -> tuple[object, ...]:
    """Under the columns of the row's task, where what is measured is by the first phone's."""
    pixels = [(row["pixel_ms"] or [None] * 3)[number - 1] for number in PIXELS[row["task"]]]
    theirs = ["-" if ms is None else f"{ms:g}" for ms in pixels]
    name, size = f"{row['network']} {row['width']:g}", f"{row['bytes'] / 1e6:.2f}"
    if row["median_us"] is None:
        return (name, "failed", "-", *theirs, "-", size)
    ms = row["median_us"] / 1e3
    ratio = f"{ms / pixels[0]:.2f}" if pixels[0] else "-"
    width = report.half_width(row["median_us"], row["ci_us"])
    return (name, f"{ms:.2f}", width, *theirs, ratio, size)
